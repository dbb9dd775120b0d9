import { setTimeout as wait } from "node:timers/promises";
import type { Store } from "../../db/store.ts";
import { passwordMatches } from "../../tools/call/password-hash.ts";
import { opaqueString } from "../mail/password.ts";
import { LoginDelays, type LoginOutcome } from "./login-delays.ts";
import { PriorityQueue } from "./priority-queue.ts";

/** The answer of a page to a refused attempt: its words and its HTTP status. */
export const loginRefusals = {
  busy: { error: "Too many attempts at once. Try again in half a minute.", status: 429 },
  wrong: { error: "That is not the operator’s password.", status: 403 },
} as const;

/** Maximum number of passwords that wait for their comparison, 50 ms or more each. */
const MOST_WAITING = 100;

/**
 * Checks the operator's password, one attempt at a time, so that mailbox passwords and polls do not wait for guessers.
 * Addresses without recent failures come first.
 */
export class OperatorLogin {
  readonly #store: Store;
  readonly #cost: number;
  readonly #delays = new LoginDelays(() => performance.now());
  readonly #queue = new PriorityQueue(MOST_WAITING);

  /** @param cost bcrypt cost of the comparison while no password is set */
  constructor(store: Store, cost: number) {
    this.#store = store;
    this.#cost = cost;
  }

  async hasPassword(): Promise<boolean> {
    return (await this.passwordHash()) !== undefined;
  }

  /** The operator's password as a hash; undefined while none is set. */
  passwordHash(): Promise<string | undefined> {
    return this.#store.read((tables) => tables.operator.passwordHash());
  }

  /** The time that a check takes reveals only the number of failures from this address. */
  async check(password: string, address: string): Promise<LoginOutcome> {
    const delay = this.#delays.begin(address);
    if (delay === undefined) return "busy";
    let outcome: LoginOutcome = "busy";
    try {
      if (delay > 0) await wait(delay);
      const matches = await this.#queue.run(this.#delays.failures(address), async () =>
        passwordMatches(opaqueString(password), await this.passwordHash(), this.#cost),
      );
      if (matches !== undefined) outcome = matches ? "right" : "wrong";
      return outcome;
    } finally {
      this.#delays.end(address, outcome);
    }
  }
}
