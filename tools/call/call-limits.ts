import type { MailError } from "../../src/mail/error.ts";
import type { Principal } from "./principal.ts";
import { RateLimit, tooMany } from "./rate-limit.ts";
import type { ParsedCall } from "./tool.ts";

/** Rows of an answer that count as one call: the default page. */
const ROWS_A_CALL = 100;

/** Calls a minute for each principal; a kind without a number is not limited. */
export interface CallsPerMinute {
  /** Calls of any kind. A list counts as one for each hundred of its rows. */
  calls?: number;
  /** Calls that set a password. */
  passwords?: number;
  /** Calls that cannot be undone: those that need the scope `destroy`. */
  destructive?: number;
}

/** Keeps one principal from using the server up, and a confused assistant from removing everything. */
export class CallLimits {
  readonly #calls: RateLimit;
  readonly #passwords: RateLimit;
  readonly #destructive: RateLimit;
  readonly #news: RateLimit;

  constructor({ calls, passwords, destructive }: CallsPerMinute, clock?: () => number) {
    this.#calls = new RateLimit(calls, clock);
    this.#passwords = new RateLimit(passwords, clock);
    this.#destructive = new RateLimit(destructive, clock);
    this.#news = new RateLimit(1, clock);
  }

  /** Counts a call, whatever its outcome. @returns the refusal if the limit is reached */
  excess({ name }: Principal): MailError | undefined {
    const wait = this.#calls.take(name);
    return wait > 0 ? tooMany("calls", wait) : undefined;
  }

  /** Counts a long answer's rows beyond the first hundred, which the call itself stands for. */
  charge({ name }: Principal, answer: Readonly<Record<string, unknown>>): void {
    const rows = Object.values(answer).reduce<number>(
      (sum, value) => sum + (Array.isArray(value) ? value.length : 0),
      0,
    );
    if (rows > ROWS_A_CALL) this.#calls.charge(name, Math.ceil(rows / ROWS_A_CALL) - 1);
  }

  /**
   * Counts an authorised call with valid input.
   *
   * @throws MailError busy if a limit is reached
   */
  admit({ name }: Principal, { password, scope }: ParsedCall): void {
    if (password !== undefined) refuseFor(this.#passwords.take(name), "passwords");
    if (scope === "destroy") refuseFor(this.#destructive.take(name), "removals that cannot be undone");
  }

  /** Counts a refusal for a limit. @returns true if it is the first that this principal got in a minute */
  isNews({ name }: Principal): boolean {
    return this.#news.take(name) === 0;
  }
}

function refuseFor(seconds: number, what: string): void {
  if (seconds > 0) throw tooMany(what, seconds);
}
