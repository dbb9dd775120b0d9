/** The replica that the daemons ask, made as m25-mail-node makes it, but from a list of people instead of from a server. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import bcrypt from "bcrypt";
import { thisMachine } from "../../src/machine/machine.ts";
import type { AppPasswordHashes } from "../../src/mail/app-password.ts";
import { applyIncoming } from "../../src/node/replica/apply.ts";
import { takeAnswer } from "../../src/node/replica/incoming.ts";
import { noteInodes, openReplica } from "../../src/node/replica/replica.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import { type Aliases, deltaOf, idOf, linesOf, stateOf } from "../node/answers.ts";
import type { MailState } from "../support/answer-reader.ts";

export interface TestUser {
  readonly address: string;
  readonly password: string;
  readonly quotaMb?: number;
  /** The stored hash, if it is not the password's. */
  readonly hash?: string;
  readonly apps?: AppPasswordHashes;
}

/** A folder for the replica and one for the mail. */
export class TestNode {
  readonly out: string;
  readonly mailRoot: string;
  readonly #folder: string;
  #state: MailState | undefined;
  #replica: Awaited<ReturnType<typeof openReplica>> | undefined;

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "m25-node-"));
    this.out = join(this.#folder, "out");
    this.mailRoot = join(this.#folder, "vmail");
    mkdirSync(this.out, { mode: 0o711 });
    mkdirSync(this.mailRoot, { mode: 0o750 });
  }

  /** A node that serves nothing yet: it has no files. */
  static empty(): TestNode {
    return new TestNode();
  }

  static async serving(
    users: readonly TestUser[],
    role: NodeRole = "mail",
    aliases: Aliases = {},
  ): Promise<TestNode> {
    const node = new TestNode();
    await node.serve(users, role, aliases);
    return node;
  }

  /** Serves these users from now on, in one transaction. */
  async serve(users: readonly TestUser[], role: NodeRole = "mail", aliases: Aliases = {}): Promise<void> {
    const domains = new Set(users.map(({ address }) => address.slice(address.indexOf("@") + 1)));
    const records = users.map(({ address, password, quotaMb = 10, hash, apps }) => {
      if (role === "mx") return { user: address };
      // Cost 4, the least there is: these tests are not about the time of a log-in.
      const stored = hash ?? `{BLF-CRYPT}${bcrypt.hashSync(password, 4)}`;
      const record = { user: address, password: stored, quota_mb: quotaMb, mailbox: idOf(address) };
      return apps === undefined ? record : { ...record, app_passwords: apps };
    });
    const before = this.#state;
    const next = stateOf((before?.revision ?? 0) + 1, [...domains], records, { role, ...aliases });
    const place = { machine: thisMachine, folder: this.out, sqlite: "sqlite3" };
    this.#replica ??= await openReplica(place);
    const lines = before === undefined ? linesOf(next) : deltaOf(before, next);
    const incoming = await takeAnswer(this.#replica, pieces(lines));
    await applyIncoming(place, this.#replica, incoming, {
      thresholds: { percent: 100, users: 0 },
      mailRoot: this.mailRoot,
      now: Date.now(),
    });
    if (this.#replica.replaced !== "") await noteInodes(this.#replica);
    this.#state = next;
  }

  /** Lets Postfix know an address that Dovecot does not, as no node does for longer than a moment. */
  addAddress(address: string): void {
    const [local, domain] = address.split("@");
    this.sql("addresses.db", `INSERT INTO address VALUES ('${domain}', '${local}', NULL)`);
  }

  /** Runs a statement on a file, beside the node's own connection. */
  sql(file: string, statement: string): string {
    const args = ["-batch", "-bail", "-init", "/dev/null", join(this.out, file)];
    return execFileSync("sqlite3", [...args, ".filectrl persist_wal 1", statement], { encoding: "utf8" });
  }

  /** Lets go of the files, as a node's program that has ended. */
  async close(): Promise<void> {
    await this.#replica?.db.close();
    this.#replica = undefined;
  }

  async remove(): Promise<void> {
    await this.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function* pieces(lines: string[]): AsyncGenerator<string[]> {
  yield lines;
}
