import { setImmediate as nextTurn } from "node:timers/promises";
import type { Store } from "../../../db/store.ts";
import { type ThrottleClocks, WakeThrottle, WakeTurn } from "./wake-throttle.ts";

/** Polls to wake in one turn of the event loop, so that thousands do not delay other requests. */
const WOKEN_AT_ONCE = 100;

/** Tells waiting polls that the state, or a node, has changed, whichever process changed it. */
export class ChangeSignal {
  readonly #store: Pick<Store, "polls" | "onChange">;
  readonly #throttle: WakeThrottle;
  /** Waiting polls: the function that lets each go on, and its turn. */
  readonly #waiting = new Map<() => void, WakeTurn>();
  /** Ends the store's calls; undefined while no poll waits. */
  #unwatch: (() => void) | undefined;

  constructor(store: Pick<Store, "polls" | "onChange">, clocks?: ThrottleClocks) {
    this.#store = store;
    this.#throttle = new WakeThrottle(() => void this.wakeAll(), clocks);
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
   * Resolves in one of three cases, and may wake spuriously:
   * - at once if the newest version is not `seen`;
   * - with the next wake, as soon as the throttle allows one: after a change, or if a poll's `take()` has asked for it;
   * - after `ms`, or when `leave` is called.
   *
   * @param turn ends with this call, and begins again when the poll is woken
   * @param leaving receives `leave`, which ends the wait
   */
  wait(seen: string, ms: number, turn: WakeTurn, leaving: (leave: () => void) => void): Promise<void> {
    turn.end();
    // The state has changed since the caller looked.
    if (seen !== this.#store.polls.latest()) return Promise.resolve();
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
      this.#unwatch ??= this.#store.onChange(() => this.#throttle.ask());
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

  #stop(): void {
    this.#unwatch?.();
    this.#unwatch = undefined;
    this.#throttle.forget();
  }
}
