import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import type { PollReader } from "../../../db/store.ts";

/** How often the database is looked at while anybody waits, in ms: one look for all, some microseconds. */
const LOOK_EVERY = 50;
/** Polls that are let go in one turn of the event loop, so that thousands do not keep everybody else waiting. */
const WOKEN_AT_ONCE = 100;

/**
 * Tells waiting polls that the state, or a node, has changed, whichever process changed it. There is nothing to
 * listen to: SQLite does not tell of other processes' commits, so the number that counts them is looked at.
 */
export class Changes {
  readonly #polls: PollReader;
  readonly #waiting = new Set<() => void>();
  #watching = false;
  /** The version (PollView) that all who wait have seen. */
  #seen = "";

  constructor(polls: PollReader) {
    this.#polls = polls;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when the version is another one than `seen`, after `ms`, or when `leave` is called; seldom for nothing.
   *
   * @param leaving is given `leave`, for who does not want to wait any more
   */
  wait(seen: string, ms: number, leaving: (leave: () => void) => void): Promise<void> {
    if (!this.#watching) this.#seen = seen;
    else if (seen !== this.#seen) this.#look();
    // Something has changed since the caller looked.
    if (seen !== this.#seen) return Promise.resolve();
    return new Promise((resolve) => {
      const leave = () => {
        clearTimeout(timer);
        this.#waiting.delete(leave);
        resolve();
      };
      const timer = setTimeout(leave, ms);
      this.#waiting.add(leave);
      leaving(leave);
      if (!this.#watching) void this.#watch();
    });
  }

  /** Lets everybody go on, some at a time. */
  async wakeAll(): Promise<void> {
    let woken = 0;
    for (const leave of [...this.#waiting]) {
      leave();
      woken += 1;
      if (woken % WOKEN_AT_ONCE === 0) await nextTurn();
    }
  }

  async #watch(): Promise<void> {
    this.#watching = true;
    while (this.#waiting.size > 0) {
      await sleep(LOOK_EVERY);
      this.#look();
    }
    this.#watching = false;
  }

  /** Where the database cannot be read, waiting polls are left to their own look, which then says so. */
  #look(): void {
    let now: string;
    try {
      now = this.#polls.now().version();
    } catch {
      now = "";
    }
    if (now === this.#seen) return;
    this.#seen = now;
    void this.wakeAll();
  }
}
