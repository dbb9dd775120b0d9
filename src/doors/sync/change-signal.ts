import { setImmediate as nextTurn } from "node:timers/promises";
import type { Store } from "../../../db/store.ts";
import { AnswerPermit, type ThrottleClocks, WakeThrottle } from "./wake-throttle.ts";

/** Polls to wake in one turn of the event loop, so that thousands do not delay other requests. */
const WOKEN_AT_ONCE = 100;

/** Tells waiting polls that the state, or a node, has changed, whichever process changed it. */
export class ChangeSignal {
  readonly #store: Pick<Store, "polls" | "onChange">;
  readonly #throttle: WakeThrottle;
  /** Waiting polls: the function that lets each go on, and its permit. */
  readonly #waiting = new Map<() => void, AnswerPermit>();
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

  /** A poll's permit to be answered; the poll must end it. */
  permit(): AnswerPermit {
    return new AnswerPermit(this.#throttle);
  }

  /**
   * Resolves in one of three cases, and may wake spuriously:
   * - at once if the newest version is not `seen`;
   * - with the next wake, as soon as the throttle allows one: after a change, or if a poll's `take()` has asked for it;
   * - after `ms`, or when `leave` is called.
   *
   * @param permit ends with this call, and begins again when the poll is woken
   * @param leaving receives `leave`, which ends the wait
   */
  wait(seen: string, ms: number, permit: AnswerPermit, leaving: (leave: () => void) => void): Promise<void> {
    permit.end();
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
      this.#waiting.set(leave, permit);
      leaving(leave);
      this.#unwatch ??= this.#store.onChange(() => this.#throttle.ask());
    });
  }

  /** Wakes all waiting polls, some at a time. */
  async wakeAll(): Promise<void> {
    const whole = this.permit();
    whole.begin();
    let woken = 0;
    for (const [leave, permit] of [...this.#waiting]) {
      if (!this.#waiting.has(leave)) continue;
      permit.begin();
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
