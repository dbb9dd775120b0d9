import { type FSWatcher, watch } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PollReader } from "../../../db/store.ts";
import { type ThrottleClocks, WakeThrottle, WakeTurn } from "./wake-throttle.ts";

/**
 * While polls wait, one look at the database serves all: first this long after its log was written, in ms, then after
 * pauses that double. A commit counts only once the disk has its last page, and no event tells that.
 */
const FIRST_LOOK = 2;
/** The longest pause, in ms: if the file system reports writes, and if it has not done so. */
const LONGEST_PAUSE = { told: 60_000, untold: 1_000 };
/** Polls to wake in one turn of the event loop, so that thousands do not delay other requests. */
const WOKEN_AT_ONCE = 100;

/** Tells waiting polls that the state, or a node, has changed, whichever process changed it. */
export class ChangeSignal {
  readonly #polls: Pick<PollReader, "now">;
  readonly #log: string;
  readonly #throttle: WakeThrottle;
  /** Waiting polls: the function that lets each go on, and its turn. */
  readonly #waiting = new Map<() => void, WakeTurn>();
  /** The version (PollView) that all waiting polls have seen. */
  #seen = "";
  #watcher: FSWatcher | undefined;
  /** True if the file system has reported a write to the current log. */
  #told = false;
  #timer: NodeJS.Timeout | undefined;
  #pause = 0;

  /** @param database its file; SQLite writes each commit to the log beside it */
  constructor(polls: Pick<PollReader, "now">, database: string, clocks?: ThrottleClocks) {
    this.#polls = polls;
    this.#throttle = new WakeThrottle(() => void this.wakeAll(), clocks);
    this.#log = `${database}-wal`;
  }

  /** Number of waiting polls. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** A poll's part in the wakes; the poll must end it. */
  turn(): WakeTurn {
    return new WakeTurn(this.#throttle);
  }

  /**
   * Resolves when the version is another one than `seen` or a wake is owed, as soon as the throttle allows; after `ms`; or
   * when `leave` is called. May wake spuriously.
   *
   * @param turn ends with this call, and begins again when the poll is woken
   * @param leaving receives `leave`, which ends the wait
   */
  wait(seen: string, ms: number, turn: WakeTurn, leaving: (leave: () => void) => void): Promise<void> {
    turn.end();
    if (this.#waiting.size === 0) this.#seen = seen;
    else if (seen !== this.#seen) this.#look();
    // The state has changed since the caller looked.
    if (seen !== this.#seen) return Promise.resolve();
    return new Promise((resolve) => {
      const leave = () => {
        clearTimeout(timer);
        this.#waiting.delete(leave);
        if (this.#waiting.size === 0) this.#stop();
        resolve();
      };
      const timer = setTimeout(leave, ms);
      this.#waiting.set(leave, turn);
      leaving(leave);
      if (this.#timer === undefined) this.#start();
    });
  }

  /** Wakes all waiting polls, some at a time. */
  async wakeAll(): Promise<void> {
    const whole = this.turn();
    whole.begin();
    let woken = 0;
    for (const [leave, turn] of [...this.#waiting]) {
      if (!this.#waiting.has(leave)) continue;
      turn.begin();
      leave();
      woken += 1;
      if (woken % WOKEN_AT_ONCE === 0) await nextTurn();
    }
    whole.end();
  }

  #start(): void {
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
    this.#timer = undefined;
    this.#throttle.forget();
  }

  #lookAfter(ms: number): void {
    clearTimeout(this.#timer);
    this.#pause = ms;
    this.#timer = setTimeout(() => {
      this.#lookAfter(Math.min(2 * ms, this.#told ? LONGEST_PAUSE.told : LONGEST_PAUSE.untold));
      this.#look();
    }, ms);
  }

  /** If the database cannot be read, wakes the waiting polls: their own look reports the error. */
  #look(): void {
    let now: string;
    try {
      now = this.#polls.now().version();
    } catch {
      now = "";
    }
    if (now === this.#seen) return;
    this.#seen = now;
    this.#throttle.ask();
  }
}
