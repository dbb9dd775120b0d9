import type { Store } from "../../db/store.ts";
import type { LoginOutcome } from "./login-delays.ts";
import { PasswordCheck } from "./password-check.ts";

/** The answer of a page to a refused attempt: its words and its HTTP status. */
export const loginRefusals = {
  busy: { error: "Too many attempts at once. Try again in half a minute.", status: 429 },
  wrong: { error: "That is not the operator’s password.", status: 403 },
} as const;

/** Checks the operator's password. */
export class OperatorLogin {
  readonly #store: Store;
  readonly #check: PasswordCheck;

  /** @param cost bcrypt cost of the comparison while no password is set */
  constructor(store: Store, cost: number) {
    this.#store = store;
    this.#check = new PasswordCheck(cost);
  }

  async hasPassword(): Promise<boolean> {
    return (await this.passwordHash()) !== undefined;
  }

  /** The operator's password as a hash; undefined while none is set. */
  passwordHash(): Promise<string | undefined> {
    return this.#store.read((tables) => tables.operator.passwordHash());
  }

  check(password: string, address: string): Promise<LoginOutcome> {
    return this.#check.run(password, address, () => this.passwordHash());
  }
}
