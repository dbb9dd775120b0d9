import { LeakyBuckets } from "../../tools/call/leaky-buckets.ts";
import { siteOf, subscriberOf } from "../mail/network.ts";

const SECOND = 1_000;
/** One failure a minute is forgotten. */
const FORGOTTEN_PER_MINUTE = 1;
/** Failures beyond the free ones to remember. */
const MOST_REMEMBERED = 15;

/** The limits for all attempts from one part of the internet. */
interface Rule {
  /** Failures that cost nothing; each further one doubles the delay. */
  free: number;
  longest: number;
  /** Attempts that may wait at once. */
  mostWaiting: number;
}

/** A few typing errors cost nothing. */
const SUBSCRIBER: Rule = { free: 3, longest: 20 * SECOND, mostWaiting: 10 };
/** One attacker may have a whole IPv6 /48, or share it with neighbours. */
const SITE: Rule = { free: 20, longest: 20 * SECOND, mostWaiting: 30 };
/** Many failures from everywhere make everybody wait a little. */
const EVERYWHERE: Rule = { free: 49, longest: 2 * SECOND, mostWaiting: Number.POSITIVE_INFINITY };

/** Busy: the password was not checked, because too many attempts wait. */
export type LoginOutcome = "right" | "wrong" | "busy";

/**
 * Delays attempts to sign in: longer after each failure from the same address and network, and a little after many
 * failures from everywhere. No failure locks anybody out. But if many guess from one address, all its users take turns.
 */
export class LoginDelays {
  readonly #failures: LeakyBuckets;
  readonly #waiting = new Map<string, number>();

  /** @param clock ms since any moment, never backwards */
  constructor(clock: () => number) {
    this.#failures = new LeakyBuckets(FORGOTTEN_PER_MINUTE, clock);
  }

  /**
   * @param address as plainAddress writes it
   * @returns how long this attempt waits, in ms; undefined if too many wait already from the same address or network
   */
  begin(address: string): number | undefined {
    const rules = rulesFor(address);
    if (rules.some(([key, { mostWaiting }]) => this.#waitingAt(key) >= mostWaiting)) return undefined;
    const delays = rules.map(([key, rule]) => this.#delay(key, rule));
    for (const [key] of rules) this.#waiting.set(key, this.#waitingAt(key) + 1);
    return Math.max(...delays);
  }

  /** Must follow each `begin` that returned a delay. */
  end(address: string, outcome: LoginOutcome): void {
    for (const [key, rule] of rulesFor(address)) {
      const waiting = this.#waitingAt(key) - 1;
      if (waiting === 0) this.#waiting.delete(key);
      else this.#waiting.set(key, waiting);
      const isFull = this.#failures.level(key) >= rule.free + MOST_REMEMBERED;
      if (outcome === "wrong" && !isFull) this.#failures.add(key);
      if (outcome === "right" && rule !== EVERYWHERE) this.#failures.forget(key);
    }
  }

  /** The remembered failures of an address or its network, whichever has more. */
  failures(address: string): number {
    return Math.max(
      ...rulesFor(address).map(([key, rule]) => (rule === EVERYWHERE ? 0 : this.#failures.level(key))),
    );
  }

  /** Waiting attempts count as failures; else many at once would wait no longer than one. */
  #delay(key: string, { free, longest }: Rule): number {
    const counted = Math.ceil(this.#failures.level(key)) + this.#waitingAt(key) - free;
    return counted < 0 ? 0 : Math.min(longest, SECOND * 2 ** counted);
  }

  #waitingAt(key: string): number {
    return this.#waiting.get(key) ?? 0;
  }
}

function rulesFor(address: string): Array<[key: string, rule: Rule]> {
  return [
    [`subscriber ${subscriberOf(address)}`, SUBSCRIBER],
    [`site ${siteOf(address)}`, SITE],
    ["everywhere", EVERYWHERE],
  ];
}
