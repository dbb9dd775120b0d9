import { setTimeout as wait } from "node:timers/promises";
import type { Store } from "../../../db/store.ts";
import { passwordMatches } from "../../../tools/hash.ts";
import { LoginDelays } from "./login-delays.ts";

export type LoginOutcome = "right" | "wrong" | "busy";

/** Checks the operator's password, one at a time: neither mailbox passwords nor polls wait for guessers. */
export class OperatorLogin {
  readonly #store: Store;
  readonly #cost: number;
  readonly #delays = new LoginDelays(() => performance.now());
  #lane: Promise<unknown> = Promise.resolve();

  /** @param cost bcrypt's, where no password is set */
  constructor(store: Store, cost: number) {
    this.#store = store;
    this.#cost = cost;
  }

  async hasPassword(): Promise<boolean> {
    return (await this.#passwordHash()) !== undefined;
  }

  /** The time it takes tells nothing but how often this address has failed. */
  async check(password: string, address: string): Promise<LoginOutcome> {
    const delay = this.#delays.begin(address);
    if (delay === undefined) return "busy";
    let matches = false;
    try {
      if (delay > 0) await wait(delay);
      const turn = this.#lane.then(async () =>
        passwordMatches(password.normalize("NFC"), await this.#passwordHash(), this.#cost),
      );
      this.#lane = turn.catch(() => {});
      matches = await turn;
      return matches ? "right" : "wrong";
    } finally {
      this.#delays.end(address, matches);
    }
  }

  #passwordHash(): Promise<string | undefined> {
    return this.#store.read((tables) => tables.operator.passwordHash());
  }
}
