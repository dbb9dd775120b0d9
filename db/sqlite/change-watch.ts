import { type FSWatcher, watch } from "node:fs";
import type { FilePollReader } from "./poll-reader.ts";

/**
 * ms from a write to the log until the first look at the database. Further looks follow, after pauses that double: a commit
 * counts only once its last page is written, and no event tells that. One look serves all listeners.
 */
const FIRST_LOOK = 2;
/** The longest pause, in ms: if the file system reports writes, and if it has not done so. */
const LONGEST_PAUSE = { told: 60_000, untold: 1_000 };

/** Notices that the state, or a node, has changed, whichever process changed it. */
export class ChangeWatch {
  readonly #polls: Pick<FilePollReader, "lookNow" | "latest">;
  readonly #log: string;
  readonly #listeners = new Set<() => void>();
  /** The version (PollView) that the listeners know. */
  #seen = "";
  #watcher: FSWatcher | undefined;
  /** True if the file system has reported a write to the current log. */
  #told = false;
  #timer: NodeJS.Timeout | undefined;
  #pause = 0;

  /** @param database its file; SQLite writes each commit to the log beside it */
  constructor(polls: Pick<FilePollReader, "lookNow" | "latest">, database: string) {
    this.#polls = polls;
    this.#log = `${database}-wal`;
  }

  /** @returns ends the calls of `listener` */
  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  #start(): void {
    this.#seen = this.#polls.latest();
    try {
      this.#watcher = watch(this.#log, { persistent: false }, (event) => {
        this.#told = event === "change";
        // Only the first of many writes in a row counts, so that they cannot put off the look.
        if (this.#pause > FIRST_LOOK) this.#lookAfter(FIRST_LOOK);
      });
      this.#watcher.on("error", () => {
        this.#told = false;
      });
    } catch {
      // The system allows no more watches: only the timed looks remain.
    }
    this.#lookAfter(FIRST_LOOK);
  }

  #stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#told = false;
    clearTimeout(this.#timer);
  }

  #lookAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#pause = ms;
    this.#timer = setTimeout(() => {
      this.#lookAfter(Math.min(2 * ms, this.#told ? LONGEST_PAUSE.told : LONGEST_PAUSE.untold));
      this.#look();
    }, ms);
  }

  #look(): void {
    let now: string;
    try {
      now = this.#polls.lookNow().version;
    } catch {
      now = ""; // a listener's own look reports the error
    }
    if (now === this.#seen) return;
    this.#seen = now;
    for (const listener of [...this.#listeners]) listener();
  }
}
