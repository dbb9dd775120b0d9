import { subscriberOf } from "../../mail/network.ts";

const SECOND = 1_000;
/** Mistyping costs nothing. */
const FREE_FAILURES = 3;
const LONGEST_DELAY = 20 * SECOND;
/** Failures are forgotten this long after the last one. */
const FORGET_AFTER = 15 * 60 * SECOND;
/** So many failures from everywhere together make everybody wait a little. */
const MANY_FAILURES = 50;
const GLOBAL_DELAY = 2 * SECOND;
/** Attempts of one address that may wait at once. */
const MOST_WAITING = 10;
const MOST_ADDRESSES = 10_000;

interface Attempts {
  failures: number;
  waiting: number;
  last: number;
}

/**
 * How long an attempt to sign in has to wait: longer after each failure from the same address, and a little
 * after many failures from everywhere. Nobody is ever locked out: who waits is let in with the right password,
 * whatever others have tried.
 */
export class LoginDelays {
  readonly #now: () => number;
  readonly #addresses = new Map<string, Attempts>();
  #everywhere = { failures: 0, last: 0 };

  /** @param now milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * @param address as plainAddress writes it
   * @returns how long this attempt waits, in ms; undefined when too many of the same address wait already
   */
  begin(address: string): number | undefined {
    const attempts = this.#attempts(subscriberOf(address));
    if (attempts.waiting >= MOST_WAITING) return undefined;
    // Those that wait count as failures, or many at once would wait no longer than one.
    const counted = attempts.failures + attempts.waiting - FREE_FAILURES;
    attempts.waiting += 1;
    const own = counted < 0 ? 0 : Math.min(LONGEST_DELAY, SECOND * 2 ** counted);
    if (this.#now() - this.#everywhere.last > FORGET_AFTER) this.#everywhere.failures = 0;
    return Math.max(own, this.#everywhere.failures >= MANY_FAILURES ? GLOBAL_DELAY : 0);
  }

  /** Has to follow each `begin` that gave a delay. */
  end(address: string, succeeded: boolean): void {
    const attempts = this.#attempts(subscriberOf(address));
    attempts.waiting -= 1;
    attempts.last = this.#now();
    attempts.failures = succeeded ? 0 : attempts.failures + 1;
    if (!succeeded) this.#everywhere = { failures: this.#everywhere.failures + 1, last: this.#now() };
  }

  #attempts(address: string): Attempts {
    const found = this.#addresses.get(address);
    if (found !== undefined && (found.waiting > 0 || this.#now() - found.last <= FORGET_AFTER)) return found;
    if (this.#addresses.size >= MOST_ADDRESSES) this.#forgetIdle();
    const fresh = { failures: 0, waiting: 0, last: this.#now() };
    this.#addresses.set(address, fresh);
    return fresh;
  }

  #forgetIdle(): void {
    for (const [address, { waiting }] of this.#addresses) {
      if (waiting === 0) this.#addresses.delete(address);
      if (this.#addresses.size < MOST_ADDRESSES / 2) return;
    }
  }
}
