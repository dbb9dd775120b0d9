/** A task that the running server repeats, never twice at once. */
export class RepeatedTask {
  readonly #task: (stop: AbortSignal) => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  readonly #stop = new AbortController();
  #underWay: Promise<void> | undefined;

  /**
   * @param every ms
   * @param task throws nothing, and ends soon after its signal is aborted
   */
  constructor(every: number, task: (stop: AbortSignal) => Promise<void>) {
    this.#task = task;
    this.#timer = setInterval(() => this.begin(), every).unref();
  }

  /** Does nothing while the task is under way. */
  begin(): void {
    this.#underWay ??= this.#task(this.#stop.signal).finally(() => {
      this.#underWay = undefined;
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#underWay;
  }
}
