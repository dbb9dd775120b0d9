import { MailError } from "../../src/mail/error.ts";

/** Time in which tasks start within one turn of the event loop, in ms. The rest start in later turns, to let others go on. */
const SHARE = 2;

/** How many tasks run at a time, and how many wait. */
interface Bounds {
  /** Running tasks of one key. */
  perKey: number;
  /** Running tasks of all keys together. */
  total?: number;
  /** Waiting tasks of one key. */
  waiting: number;
  /** The tasks' name in the refusal, such as "calls". */
  what: string;
}

/** Runs work in the middle of a task, without the task's place among the running ones. */
export type WithoutSlot = <T>(work: () => Promise<T>) => Promise<T>;

interface Queue {
  /** The number of its next turn; the lowest comes first. */
  next: number;
  running: number;
  readonly waiting: Array<() => void>;
}

/**
 * Runs tasks of many keys, few of one key at a time. Other tasks wait in their key's queue, and the keys take turns, so that
 * one key's long queue delays no other. A key's turns are numbered, and the lowest number comes first. A new key begins at
 * the lowest number of those that run or wait (start-time fair queuing).
 */
export class FairQueue {
  readonly #bounds: Required<Bounds>;
  /** Queues with running or waiting tasks, and idle ones whose next turn's number is above the others'. */
  readonly #queues = new Map<string, Queue>();
  #running = 0;
  #isTurning = false;
  /** When the first task came in this turn of the event loop. */
  #began: number | undefined;

  constructor(bounds: Bounds) {
    this.#bounds = { total: Number.POSITIVE_INFINITY, ...bounds };
  }

  /**
   * @param task can call `withoutSlot(work)`: the task gives up its place while `work` runs, and waits for its turn again
   * before it goes on
   * @throws MailError busy when too many of this key wait already
   */
  async run<T>(key: string, task: (withoutSlot: WithoutSlot) => Promise<T>): Promise<T> {
    let queue: Queue | undefined = await this.#begin(key);
    const end = () => {
      if (queue !== undefined) this.#end(queue);
      queue = undefined;
    };
    const withoutSlot: WithoutSlot = async (work) => {
      end();
      const result = await work();
      queue = await this.#begin(key);
      return result;
    };
    try {
      return await task(withoutSlot);
    } finally {
      end();
    }
  }

  async #begin(key: string): Promise<Queue> {
    const queue = this.#queueOf(key);
    const mayStartNow = this.#hasShare() && this.#isFirst(queue);
    this.#queues.set(key, queue);
    if (mayStartNow) this.#start(queue);
    else await this.#wait(queue);
    return queue;
  }

  #end(queue: Queue): void {
    queue.running -= 1;
    this.#running -= 1;
    this.#turnSoon();
  }

  #queueOf(key: string): Queue {
    const queue = this.#queues.get(key) ?? { next: 0, running: 0, waiting: [] };
    if (isIdle(queue)) queue.next = Math.max(queue.next, this.#lowest() ?? 0);
    return queue;
  }

  #wait(queue: Queue): Promise<void> {
    if (queue.waiting.length >= this.#bounds.waiting) {
      throw new MailError(
        "busy",
        `Too many ${this.#bounds.what} at once.`,
        "Nothing was changed. Wait a few seconds, then try again.",
      );
    }
    return new Promise((go) => {
      queue.waiting.push(go);
      this.#turnSoon();
    });
  }

  /** Whether a new task of this queue may start at once. */
  #isFirst(queue: Queue): boolean {
    if (queue.waiting.length > 0 || !this.#mayStart(queue)) return false;
    const first = this.#queueInTurn();
    return first === undefined || isBefore(queue.next, 1, first);
  }

  #mayStart({ running }: Queue): boolean {
    return running < this.#bounds.perKey && this.#running < this.#bounds.total;
  }

  #start(queue: Queue): void {
    queue.next += 1;
    queue.running += 1;
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
    const queue = this.#queueInTurn();
    if (queue === undefined) return;
    if (this.#hasShare()) {
      this.#start(queue);
      queue.waiting.shift()?.();
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
    for (const queue of this.#queues.values()) {
      const own = queue.next - queue.running;
      if (!isIdle(queue) && (lowest === undefined || own < lowest)) lowest = own;
    }
    return lowest;
  }

  /** The queue whose turn it is. Forgets idle queues that are not ahead of the others. */
  #queueInTurn(): Queue | undefined {
    const lowest = this.#lowest();
    let first: Queue | undefined;
    for (const [key, queue] of this.#queues) {
      if (isIdle(queue) && (lowest === undefined || queue.next <= lowest)) this.#queues.delete(key);
      if (queue.waiting.length === 0 || !this.#mayStart(queue)) continue;
      if (first === undefined || isBefore(queue.next, queue.waiting.length, first)) first = queue;
    }
    return first;
  }
}

/** Of queues with the same number the shorter comes first: a key with a single task before one that asked for many. */
function isBefore(next: number, waiting: number, other: Queue): boolean {
  return next < other.next || (next === other.next && waiting < other.waiting.length);
}

function isIdle({ running, waiting }: Queue): boolean {
  return running === 0 && waiting.length === 0;
}
