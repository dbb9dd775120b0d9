import type { MailError } from "../src/mail/error.ts";
import type { Principal } from "./principal.ts";
import { RateLimit, tooMany } from "./rate-limit.ts";
import type { ParsedCall } from "./tool.ts";

/** Rows of an answer that count as one call: a page as it is by default. */
const ROWS_A_CALL = 100;

/** How many a minute each principal may make; those without a number are not limited. */
export interface CallsPerMinute {
  /** Calls of any kind. A list counts as one for each hundred of its rows. */
  calls?: number;
  /** Of those, the ones that set a password. */
  passwords?: number;
  /** Of those, the ones that cannot be taken back: whatever needs the scope `destroy`. */
  destructive?: number;
}

/** Keeps one principal from taking all there is to take, and a confused assistant from removing it. */
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

  /** Counts a call, whatever becomes of it; what is returned says why there is none to be made now. */
  excess({ name }: Principal): MailError | undefined {
    const wait = this.#calls.take(name);
    return wait > 0 ? tooMany("calls", wait) : undefined;
  }

  /** Counts the rows of an answer beyond those that its call is counted for. */
  charge({ name }: Principal, answer: Readonly<Record<string, unknown>>): void {
    const rows = Object.values(answer).reduce<number>(
      (sum, value) => sum + (Array.isArray(value) ? value.length : 0),
      0,
    );
    if (rows > ROWS_A_CALL) this.#calls.charge(name, Math.ceil(rows / ROWS_A_CALL) - 1);
  }

  /**
   * Counts a call whose input is valid and which the principal may make.
   *
   * @throws MailError busy: not now
   */
  admit({ name }: Principal, { password, scope }: ParsedCall): void {
    if (password !== undefined) refuseFor(this.#passwords.take(name), "passwords");
    if (scope === "destroy") refuseFor(this.#destructive.take(name), "removals that cannot be taken back");
  }

  /** Whether a refusal for a limit is the first that this principal got in a minute. */
  isNews({ name }: Principal): boolean {
    return this.#news.take(name) === 0;
  }
}

function refuseFor(seconds: number, what: string): void {
  if (seconds > 0) throw tooMany(what, seconds);
}
