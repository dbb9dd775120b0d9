import type { Store } from "../../db/store.ts";
import { MailError } from "../mail/error.ts";

/** ms after which tookLast() tries again. */
const TRY_EVERY = 10_000;

/**
 * Tells whether the database takes changes, by a write that changes nothing. It costs a sync of the disk, and up to 5 s
 * where another program holds the lock: views under way at a time share one.
 */
export class WriteTrial {
  readonly #store: Pick<Store, "write">;
  #underWay: Promise<MailError | undefined> | undefined;
  #last: { at: number; isTaken: boolean } | undefined;

  constructor(store: Pick<Store, "write">) {
    this.#store = store;
  }

  /** @returns why it takes none; undefined if it does */
  outcome(): Promise<MailError | undefined> {
    this.#underWay ??= this.#try().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  /** Whether the database took the last trial. An old one is repeated meanwhile; only the first is waited for. */
  async tookLast(): Promise<boolean> {
    const isOld = this.#last === undefined || performance.now() - this.#last.at > TRY_EVERY;
    const trial = isOld ? this.outcome().catch(() => {}) : undefined;
    if (this.#last === undefined) await trial;
    return this.#last?.isTaken === true;
  }

  async #try(): Promise<MailError | undefined> {
    let failure: unknown;
    try {
      await this.#store.write(({ state }) => state.rewrite());
    } catch (error) {
      failure = error;
    }
    this.#last = { at: performance.now(), isTaken: failure === undefined };
    if (failure === undefined || failure instanceof MailError) return failure;
    throw failure;
  }
}
