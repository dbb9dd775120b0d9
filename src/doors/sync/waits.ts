/** A node has one; a second one may come while the server has not heard yet that its connection is gone. */
const MOST_OF_ONE = 2;

/** One poll that waits for news. */
export class Wait {
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

/** Keeps the waits of each node few: the oldest is answered, as if its time were over, where one too many comes. */
export class Waits {
  /** By the node's id, the oldest first. */
  readonly #waits = new Map<number, Wait[]>();

  /** @param task ends when the wait has ended */
  async during(node: number, task: (wait: Wait) => Promise<void>): Promise<void> {
    const wait = new Wait();
    const waits = this.#waits.get(node) ?? [];
    this.#waits.set(node, waits);
    waits.push(wait);
    if (waits.length > MOST_OF_ONE) waits.shift()?.end();
    try {
      await task(wait);
    } finally {
      const place = waits.indexOf(wait);
      if (place >= 0) waits.splice(place, 1);
      if (waits.length === 0 && this.#waits.get(node) === waits) this.#waits.delete(node);
    }
  }
}
