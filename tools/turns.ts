import { MailError } from "../src/mail/error.ts";

/** In ms: tasks that come within one turn of the event loop start at once for so long; then others have their turn. */
const SHARE = 2;

/** How many tasks run at a time, and how many wait. */
interface Bounds {
  /** Of one key. */
  ofOne: number;
  /** Of all keys together. */
  ofAll?: number;
  /** Those of one key that wait in its line. */
  line: number;
  /** What there are too many of, for the refusal. */
  what: string;
}

interface Line {
  running: number;
  readonly waiting: Array<() => void>;
}

/**
 * Runs tasks of many keys, few of one key at a time. The others wait in a line of their key, and the keys take turns:
 * a long line of one makes no other wait. The event loop turns between those that waited.
 */
export class Turns {
  readonly #bounds: Required<Bounds>;
  /** Of the keys of which anything runs or waits; the one whose turn was longest ago comes first. */
  readonly #lines = new Map<string, Line>();
  #running = 0;
  #isTurning = false;
  /** When the first task came in this turn of the event loop. */
  #began: number | undefined;

  constructor(bounds: Bounds) {
    this.#bounds = { ofAll: Number.POSITIVE_INFINITY, ...bounds };
  }

  /** @throws MailError busy when too many of this key wait already */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { running: 0, waiting: [] };
    if (this.#hasShare() && line.waiting.length === 0 && this.#mayStart(line)) this.#start(key, line);
    else await this.#wait(key, line);
    try {
      return await task();
    } finally {
      line.running -= 1;
      this.#running -= 1;
      if (line.running === 0 && line.waiting.length === 0) this.#lines.delete(key);
      this.#turnSoon();
    }
  }

  #wait(key: string, line: Line): Promise<void> {
    if (line.waiting.length >= this.#bounds.line) {
      throw new MailError(
        "busy",
        `Too many ${this.#bounds.what} at once.`,
        "Nothing was changed. Wait a few seconds, then try again.",
      );
    }
    this.#lines.set(key, line);
    return new Promise((go) => {
      line.waiting.push(go);
      this.#turnSoon();
    });
  }

  #mayStart({ running }: Line): boolean {
    return running < this.#bounds.ofOne && this.#running < this.#bounds.ofAll;
  }

  #start(key: string, line: Line): void {
    this.#lines.delete(key);
    this.#lines.set(key, line);
    line.running += 1;
    this.#running += 1;
  }

  #hasShare(): boolean {
    const now = performance.now();
    if (this.#began === undefined) {
      this.#began = now;
      setImmediate(() => {
        this.#began = undefined;
      });
    }
    return now - this.#began < SHARE;
  }

  #turnSoon(): void {
    if (this.#isTurning || this.#next() === undefined) return;
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      const next = this.#next();
      if (next === undefined) return;
      const [key, line] = next;
      this.#start(key, line);
      line.waiting.shift()?.();
      this.#turnSoon();
    });
  }

  /** The key whose turn it is. */
  #next(): [key: string, line: Line] | undefined {
    for (const entry of this.#lines) {
      if (entry[1].waiting.length > 0 && this.#mayStart(entry[1])) return entry;
    }
    return undefined;
  }
}
