import { setTimeout as wait } from "node:timers/promises";
import type { Store } from "../../db/store.ts";
import { passwordMatches } from "../../tools/hash.ts";
import { opaqueString } from "../mail/password.ts";
import { Lane } from "./lane.ts";
import { LoginDelays, type LoginOutcome } from "./login-delays.ts";

/** Passwords that may wait to be compared, which takes each a twentieth of a second or more. */
const MOST_WAITING = 100;

/**
 * Checks the operator's password, one at a time: neither mailbox passwords nor polls wait for guessers, and who has
 * not failed lately comes before them.
 */
export class OperatorLogin {
  readonly #store: Store;
  readonly #cost: number;
  readonly #delays = new LoginDelays(() => performance.now());
  readonly #lane = new Lane(MOST_WAITING);

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
    let outcome: LoginOutcome = "busy";
    try {
      if (delay > 0) await wait(delay);
      const matches = await this.#lane.run(this.#delays.failures(address), async () =>
        passwordMatches(opaqueString(password), await this.#passwordHash(), this.#cost),
      );
      if (matches !== undefined) outcome = matches ? "right" : "wrong";
      return outcome;
    } finally {
      this.#delays.end(address, outcome);
    }
  }

  #passwordHash(): Promise<string | undefined> {
    return this.#store.read((tables) => tables.operator.passwordHash());
  }
}
