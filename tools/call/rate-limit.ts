import { MailError } from "../../src/mail/error.ts";
import { LeakyBuckets } from "./leaky-buckets.ts";

/** Limits the events of each key to a number a minute, all at once or spread. */
export class RateLimit {
  readonly #perMinute: number | undefined;
  readonly #counts: LeakyBuckets;

  /** @param perMinute undefined for no limit */
  constructor(perMinute: number | undefined, clock?: () => number) {
    this.#perMinute = perMinute;
    this.#counts = new LeakyBuckets(perMinute ?? 0, clock);
  }

  /** Counts one more if there is room for it. @returns 0, or the seconds after which there will be room */
  take(key: string): number {
    if (this.#perMinute === undefined) return 0;
    const over = this.#counts.level(key) + 1 - this.#perMinute;
    if (over > 0) return Math.ceil((over / this.#perMinute) * 60);
    this.#counts.add(key);
    return 0;
  }

  /** Counts more events, even beyond the limit. */
  charge(key: string, amount: number): void {
    if (this.#perMinute !== undefined) this.#counts.add(key, amount);
  }
}

/** The refusal of a caller that must wait. */
export function tooMany(what: string, seconds: number): MailError {
  return new MailError(
    "busy",
    `Too many ${what} within a minute.`,
    `Nothing was changed. Wait ${seconds} ${seconds === 1 ? "second" : "seconds"}, then try again.`,
    { retryAfter: seconds },
  );
}
