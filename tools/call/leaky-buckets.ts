/** Keys to remember. One more, and the key that was quiet longest is forgotten. */
const MOST_KEYS = 10_000;

interface Count {
  level: number;
  /** When the level was that, in ms. */
  at: number;
}

/** Counts events by key; a fixed number of them a minute leaks away again. */
export class LeakyBuckets {
  readonly #perMs: number;
  readonly #clock: () => number;
  /** In the order of their last event. */
  readonly #counts = new Map<string, Count>();

  /** @param clock ms since any moment, never backwards */
  constructor(perMinute: number, clock = () => performance.now()) {
    this.#perMs = perMinute / 60_000;
    this.#clock = clock;
  }

  /** A key's count now, less what has leaked away. */
  level(key: string): number {
    const count = this.#counts.get(key);
    if (count === undefined) return 0;
    return Math.max(0, count.level - (this.#clock() - count.at) * this.#perMs);
  }

  /** @returns the level with these events */
  add(key: string, amount = 1): number {
    const level = this.level(key) + amount;
    this.#counts.delete(key);
    this.#counts.set(key, { level, at: this.#clock() });
    if (this.#counts.size > MOST_KEYS) {
      for (const [oldest] of this.#counts) {
        this.#counts.delete(oldest);
        break;
      }
    }
    return level;
  }

  forget(key: string): void {
    this.#counts.delete(key);
  }
}
