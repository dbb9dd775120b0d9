import { MailError } from "../../src/mail/error.ts";

/** Time in which tasks start within one turn of the event loop, in ms. The rest start in later turns, to let others go on. */
const SHARE = 2;

/** How many tasks run at a time, and how many wait. */
interface Bounds {
  /** Running tasks of one key. */
  ofOne: number;
  /** Running tasks of all keys together. */
  ofAll?: number;
  /** Waiting tasks of one key. */
  line: number;
  /** The tasks' name in the refusal, such as "calls". */
  what: string;
}

/** Runs work in the middle of a task without holding the task's place among the running ones. */
export type Aside = <T>(work: () => Promise<T>) => Promise<T>;

interface Line {
  /** The number of its next turn; the lowest comes first. */
  next: number;
  running: number;
  readonly waiting: Array<() => void>;
}

/**
 * Runs tasks of many keys, few of one key at a time. Other tasks wait in a line of their key, and the keys take turns, so
 * that a long line of one key delays no other. The turns of a key are numbered, and the lowest number comes first. A new
 * key begins at the lowest number of those that run or wait (start-time fair queuing).
 */
export class FairQueue {
  readonly #bounds: Required<Bounds>;
  /** Lines with running or waiting tasks, and idle ones whose next turn is ahead of the others. */
  readonly #lines = new Map<string, Line>();
  #running = 0;
  #isTurning = false;
  /** When the first task came in this turn of the event loop. */
  #began: number | undefined;

  constructor(bounds: Bounds) {
    this.#bounds = { ofAll: Number.POSITIVE_INFINITY, ...bounds };
  }

  /**
   * @param task can call `aside` for work that needs no turn: another task may start meanwhile, and this one waits for a
   * turn again before it goes on
   * @throws MailError busy when too many of this key wait already
   */
  async run<T>(key: string, task: (aside: Aside) => Promise<T>): Promise<T> {
    let line: Line | undefined = await this.#begin(key);
    const end = () => {
      if (line !== undefined) this.#end(line);
      line = undefined;
    };
    const aside: Aside = async (work) => {
      end();
      const result = await work();
      line = await this.#begin(key);
      return result;
    };
    try {
      return await task(aside);
    } finally {
      end();
    }
  }

  async #begin(key: string): Promise<Line> {
    const line = this.#lineOf(key);
    const mayStartNow = this.#hasShare() && this.#isFirst(line);
    this.#lines.set(key, line);
    if (mayStartNow) this.#start(line);
    else await this.#wait(line);
    return line;
  }

  #end(line: Line): void {
    line.running -= 1;
    this.#running -= 1;
    this.#turnSoon();
  }

  #lineOf(key: string): Line {
    const line = this.#lines.get(key) ?? { next: 0, running: 0, waiting: [] };
    if (isIdle(line)) line.next = Math.max(line.next, this.#lowest() ?? 0);
    return line;
  }

  #wait(line: Line): Promise<void> {
    if (line.waiting.length >= this.#bounds.line) {
      throw new MailError(
        "busy",
        `Too many ${this.#bounds.what} at once.`,
        "Nothing was changed. Wait a few seconds, then try again.",
      );
    }
    return new Promise((go) => {
      line.waiting.push(go);
      this.#turnSoon();
    });
  }

  /** Whether a new task of this line may start at once. */
  #isFirst(line: Line): boolean {
    if (line.waiting.length > 0 || !this.#mayStart(line)) return false;
    const next = this.#next();
    return next === undefined || line.next < next.next;
  }

  #mayStart({ running }: Line): boolean {
    return running < this.#bounds.ofOne && this.#running < this.#bounds.ofAll;
  }

  #start(line: Line): void {
    line.next += 1;
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

  /** Starts the task whose turn it is: now, while this turn of the event loop has time left, else in the next. */
  #turnSoon(): void {
    if (this.#isTurning) return;
    const next = this.#next();
    if (next === undefined) return;
    if (this.#hasShare()) {
      this.#start(next);
      next.waiting.shift()?.();
      return;
    }
    this.#isTurning = true;
    setImmediate(() => {
      this.#isTurning = false;
      this.#turnSoon();
    });
  }

  /** The lowest number among running and waiting turns. */
  #lowest(): number | undefined {
    let lowest: number | undefined;
    for (const line of this.#lines.values()) {
      const own = line.next - line.running;
      if (!isIdle(line) && (lowest === undefined || own < lowest)) lowest = own;
    }
    return lowest;
  }

  /** The line whose turn it is. Forgets idle lines that are not ahead of the others. */
  #next(): Line | undefined {
    const lowest = this.#lowest();
    let first: Line | undefined;
    for (const [key, line] of this.#lines) {
      if (isIdle(line) && (lowest === undefined || line.next <= lowest)) this.#lines.delete(key);
      if (line.waiting.length === 0 || !this.#mayStart(line)) continue;
      if (first === undefined || line.next < first.next) first = line;
    }
    return first;
  }
}

function isIdle({ running, waiting }: Line): boolean {
  return running === 0 && waiting.length === 0;
}
