interface Waiting {
  rank: number;
  /** @param isTurn false for one that is sent away */
  answer(isTurn: boolean): void;
}

/** Runs tasks one at a time: the lowest rank first and, of one rank, whoever came first. */
export class PriorityQueue {
  readonly #most: number;
  /** In the order of their turns. */
  readonly #waiting: Waiting[] = [];
  #isTaken = false;

  /** @param most how many may wait; of more the last in line is sent away, who may have been there before */
  constructor(most: number) {
    this.#most = most;
  }

  /** @returns what the task gives, or undefined when this one was sent away */
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
