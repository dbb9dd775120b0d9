import { setTimeout as wait } from "node:timers/promises";
import { passwordMatches } from "../../tools/call/password-hash.ts";
import { opaqueString } from "../mail/password.ts";
import { LoginDelays, type LoginOutcome } from "./login-delays.ts";
import { PriorityQueue } from "./priority-queue.ts";

/** Maximum number of passwords that wait for their comparison, 50 ms or more each. */
const MOST_WAITING = 100;

/**
 * Checks the passwords of a sign-in page, one attempt at a time, so that the setting of passwords and polls do not wait for
 * guessers. Addresses without recent failures come first.
 */
export class PasswordCheck {
  readonly #cost: number;
  readonly #delays = new LoginDelays(() => performance.now());
  readonly #queue = new PriorityQueue(MOST_WAITING);

  /** @param cost bcrypt cost of the comparison while there is no hash */
  constructor(cost: number) {
    this.#cost = cost;
  }

  /**
   * The time that a check takes reveals only the number of failures from this address.
   *
   * @param hashOf reads the right password's hash, when the attempt's turn has come; undefined if there is none
   */
  async run(
    password: string,
    address: string,
    hashOf: () => Promise<string | undefined>,
  ): Promise<LoginOutcome> {
    const delay = this.#delays.begin(address);
    if (delay === undefined) return "busy";
    let outcome: LoginOutcome = "busy";
    try {
      if (delay > 0) await wait(delay);
      const matches = await this.#queue.run(this.#delays.failures(address), async () =>
        passwordMatches(opaqueString(password), await hashOf(), this.#cost),
      );
      if (matches !== undefined) outcome = matches ? "right" : "wrong";
      return outcome;
    } finally {
      this.#delays.end(address, outcome);
    }
  }
}
