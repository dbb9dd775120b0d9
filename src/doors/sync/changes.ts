import { setTimeout as sleep } from "node:timers/promises";
import type { PollReader, StateSummary } from "../../../db/store.ts";
import { wholeView } from "../../sync/view.ts";

/** How often the database is looked at while anybody waits, in ms: one look for all, some microseconds. */
const LOOK_EVERY = 50;

type StateId = Pick<StateSummary, "history" | "revision">;

/**
 * Tells waiting polls that the state has changed, whichever process changed it. There is nothing to listen to:
 * SQLite does not tell of other processes' commits, so the number that counts them is looked at.
 */
export class Changes {
  readonly #polls: PollReader;
  #waiting = new Set<() => void>();
  #watching = false;

  constructor(polls: PollReader) {
    this.#polls = polls;
  }

  /** Resolves when the state is another one than `seen`, after `ms`, or when `signal` aborts; seldom for nothing. */
  wait(seen: StateId, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
      this.#waiting.add(done);
      if (!this.#watching) void this.#watch(seen);
    });
  }

  /** Lets everybody go on, at the end. */
  wakeAll(): void {
    for (const done of [...this.#waiting]) done();
  }

  async #watch(seen: StateId): Promise<void> {
    this.#watching = true;
    let before = idOf(seen);
    while (this.#waiting.size > 0) {
      await sleep(LOOK_EVERY);
      const now = this.#stateId();
      if (now !== before) this.wakeAll();
      before = now;
    }
    this.#watching = false;
  }

  /** Where the database cannot be read, waiting polls are left to their own look, which then says so. */
  #stateId(): string {
    try {
      return idOf(this.#polls.now().state(wholeView));
    } catch {
      return "";
    }
  }
}

function idOf({ history, revision }: StateId): string {
  return `${history} ${revision}`;
}
