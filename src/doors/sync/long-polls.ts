/** A node has one long poll. A second may come before the server notices that the first one's connection is gone. */
const MOST_OF_ONE = 2;

/** One poll that waits for news. */
export class LongPoll {
  #hasEnded = false;
  #leave = () => {};

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** @param leave lets the poll go on; replaced each time the poll waits again */
  leaves(leave: () => void): void {
    this.#leave = leave;
  }

  end(): void {
    this.#hasEnded = true;
    this.#leave();
  }
}

/** Limits each node's long polls: if one too many comes, the oldest is answered as if its time were over. */
export class LongPolls {
  /** By the node's id, the oldest first. */
  readonly #polls = new Map<number, LongPoll[]>();

  /** @param task must end when the poll has ended */
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
