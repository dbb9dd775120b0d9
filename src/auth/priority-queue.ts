interface Waiter {
  rank: number;
  /** @param isTurn false if the task is turned away */
  answer(isTurn: boolean): void;
}

/** Runs tasks one at a time: the lowest rank first, and within a rank in order of arrival. */
export class PriorityQueue {
  readonly #most: number;
  /** In the order of their turns. */
  readonly #waiting: Waiter[] = [];
  #isTaken = false;

  /** @param most tasks that may wait; one more, and the last in the queue is turned away, which may have come earlier */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns the task's result, or undefined if it was turned away */
  async run<T>(rank: number, task: () => Promise<T>): Promise<T | undefined> {
    if (!(await this.#turn(rank))) return undefined;
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#isTaken = false;
      else next.answer(true);
    }
  }

  #turn(rank: number): Promise<boolean> {
    if (!this.#isTaken) {
      this.#isTaken = true;
      return Promise.resolve(true);
    }
    return new Promise((answer) => {
      const behind = this.#waiting.findIndex((other) => other.rank > rank);
      this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, { rank, answer });
      if (this.#waiting.length > this.#most) this.#waiting.pop()?.answer(false);
    });
  }
}
