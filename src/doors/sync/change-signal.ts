import { type FSWatcher, watch } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { PollReader } from "../../../db/store.ts";
import { type ThrottleClocks, WakeThrottle, WakeTurn } from "./wake-throttle.ts";

/**
 * When the database is looked at while anybody waits, one look for all, in ms: first so long after its log was
 * written, then after pauses that double. A commit counts only once the disk has its last page, which nothing tells of.
 */
const FIRST_LOOK = 10;
/** The longest of these pauses: where the file system tells of writes, and where it has not done so yet, or does not. */
const LONGEST_PAUSE = { told: 60_000, untold: 1_000 };
/** Polls that are let go in one turn of the event loop, so that thousands do not keep everybody else waiting. */
const WOKEN_AT_ONCE = 100;

/** Tells waiting polls that the state, or a node, has changed, whichever process changed it. */
export class ChangeSignal {
  readonly #polls: Pick<PollReader, "now">;
  readonly #log: string;
  readonly #throttle: WakeThrottle;
  /** How each of them leaves, and its turn. */
  readonly #waiting = new Map<() => void, WakeTurn>();
  /** The version (PollView) that all who wait have seen. */
  #seen = "";
  #watcher: FSWatcher | undefined;
  /** The file system has told of a write, and the log that it tells of is still the one. */
  #told = false;
  #timer: NodeJS.Timeout | undefined;
  #pause = 0;

  /** @param database its file; the log that every commit is written to stands beside it */
  constructor(polls: Pick<PollReader, "now">, database: string, clocks?: ThrottleClocks) {
    this.#polls = polls;
    this.#throttle = new WakeThrottle(() => void this.wakeAll(), clocks);
    this.#log = `${database}-wal`;
  }

  /** How many wait. */
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
   * @param turn ends with the call, and is the poll's again where it was woken
   * @param leaving is given `leave`, for who does not want to wait any more
   */
  wait(seen: string, ms: number, turn: WakeTurn, leaving: (leave: () => void) => void): Promise<void> {
    turn.end();
    if (this.#waiting.size === 0) this.#seen = seen;
    else if (seen !== this.#seen) this.#look();
    // Something has changed since the caller looked.
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

  /** Lets everybody go on, some at a time. */
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
        // Of many writes in a row the first counts: the looks that follow it must come.
        if (this.#pause > FIRST_LOOK) this.#lookAfter(FIRST_LOOK);
      });
      this.#watcher.on("error", () => {
        this.#told = false;
      });
    } catch {
      // As many files are watched as the system allows: what is left is to look.
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
    this.#throttle.ask();
  }
}
