import type { Store } from "../../../db/store.ts";
import { MailError } from "../../mail/error.ts";

/**
 * Tells whether the database takes changes, by a write that changes nothing. It costs a sync of the disk, and up to 5 s
 * where another program holds the lock: views under way at a time share one.
 */
export class WriteTrial {
  readonly #store: Pick<Store, "write">;
  #underWay: Promise<MailError | undefined> | undefined;

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

  async #try(): Promise<MailError | undefined> {
    try {
      await this.#store.write(({ state }) => state.rewrite());
      return undefined;
    } catch (error) {
      if (error instanceof MailError) return error;
      throw error;
    }
  }
}
