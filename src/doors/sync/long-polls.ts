/** A node has one; a second one may come while the server has not heard yet that its connection is gone. */
const MOST_OF_ONE = 2;

/** One poll that waits for news. */
export class LongPoll {
  #hasEnded = false;
  #leave = () => {};

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @param leave lets the poll go on; another one each time it goes back to waiting */
  leaves(leave: () => void): void {
    this.#leave = leave;
  }

  end(): void {
    this.#hasEnded = true;
    this.#leave();
  }
}

/** Keeps the long polls of each node few: the oldest is answered, as if its time were over, where one too many comes. */
export class LongPolls {
  /** By the node's id, the oldest first. */
  readonly #polls = new Map<number, LongPoll[]>();

  /** @param task ends when the poll has ended */
  async during(node: number, task: (poll: LongPoll) => Promise<void>): Promise<void> {
    const poll = new LongPoll();
    const polls = this.#polls.get(node) ?? [];
    this.#polls.set(node, polls);
    polls.push(poll);
    if (polls.length > MOST_OF_ONE) polls.shift()?.end();
    try {
      await task(poll);
    } finally {
      const place = polls.indexOf(poll);
      if (place >= 0) polls.splice(place, 1);
      if (polls.length === 0 && this.#polls.get(node) === polls) this.#polls.delete(node);
    }
  }
}
