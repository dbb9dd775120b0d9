/** A node's replica that takes one state after another, without a server. */
import { onTestFinished } from "vitest";
import { thisMachine } from "../../src/machine/machine.ts";
import { type Applied, applyIncoming } from "../../src/node/replica/apply.ts";
import type { ApplyOptions } from "../../src/node/replica/comparison.ts";
import { takeAnswer } from "../../src/node/replica/incoming.ts";
import { DEFAULT_THRESHOLDS } from "../../src/node/replica/losses.ts";
import { noteInodes, openReplica, type Place, type Replica } from "../../src/node/replica/replica.ts";
import type { MailState } from "../support/answer-reader.ts";
import { deltaOf, linesOf } from "./answers.ts";
import { outFolder } from "./folder.ts";

export const MAIL_ROOT = "/var/vmail";
/** The time at which tests begin. */
export const NOON = Date.parse("2026-01-05T12:00:00Z");

export class Life {
  readonly place: Place;
  readonly log: string[] = [];
  /** The file because of which the daemons had to reopen theirs. */
  readonly reloaded: string[] = [];
  replica!: Replica;
  now = NOON;
  state: MailState | undefined;

  private constructor(folder: string) {
    this.place = {
      machine: { ...thisMachine, log: (line) => void this.log.push(line) },
      folder,
      sqlite: "sqlite3",
    };
  }

  static async begin(folder = outFolder()): Promise<Life> {
    const life = new Life(folder);
    await life.open();
    onTestFinished(() => life.replica.db.close());
    return life;
  }

  get out(): string {
    return this.place.folder;
  }

  async open(): Promise<void> {
    this.replica = await openReplica(this.place);
    await this.#reload();
  }

  /** Handles replaced files as a poll does; there are no daemons here. */
  async #reload(): Promise<void> {
    if (this.replica.replaced === "") return;
    this.reloaded.push(this.replica.replaced);
    await noteInodes(this.replica);
  }

  async reopen(): Promise<void> {
    await this.replica.db.close();
    await this.open();
  }

  /** Takes the server's state: as a delta within the same history, else whole. */
  async take(state: MailState, given: Partial<ApplyOptions> & { whole?: boolean } = {}): Promise<Applied> {
    const { whole, ...circumstances } = given;
    const from = this.state;
    const changed =
      whole !== true && from?.history === state.history && from.role === state.role && from !== state;
    return await this.takeLines(changed ? deltaOf(from, state) : linesOf(state), state, circumstances);
  }

  async takeLines(
    lines: readonly string[],
    state: MailState,
    circumstances: Partial<ApplyOptions> = {},
  ): Promise<Applied> {
    const incoming = await takeAnswer(this.replica, pieces(lines));
    const applied = await applyIncoming(this.place, this.replica, incoming, this.#with(circumstances));
    if (circumstances.dryRun !== undefined) return applied;
    this.state = state;
    await this.#reload();
    return applied;
  }

  /** Carries out accepted removals, without news from the server. */
  async again(circumstances: Partial<ApplyOptions>): Promise<Applied> {
    return await applyIncoming(this.place, this.replica, undefined, this.#with(circumstances));
  }

  #with(given: Partial<ApplyOptions>): ApplyOptions {
    return { thresholds: DEFAULT_THRESHOLDS, mailRoot: MAIL_ROOT, now: this.now, ...given };
  }
}

/** Lines as a connection delivers them: some at a time. */
export async function* pieces(lines: readonly string[]): AsyncGenerator<string[]> {
  for (let at = 0; at < lines.length; at += 3) yield lines.slice(at, at + 3);
}
