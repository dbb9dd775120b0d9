import type { Store } from "../../db/store.ts";
import type { Runtime } from "../../tools/call/call.ts";
import { type Log, logFailure } from "../log/log.ts";
import { purgeInactive } from "./retention.ts";

/** How long removals are remembered, in ms: a node that was away no longer than that still gets a delta. */
const REMOVALS_KEPT = 30 * 86_400_000;
const EVERY = 3_600_000;

/** The server's hourly cleaning: deletes records that are past their time, in batches. Begins at once. */
export class Housekeeping {
  readonly #runtime: Pick<Runtime, "store" | "now">;
  readonly #log: Log;
  readonly #isClockPlausible: () => boolean;
  readonly #purgeAfter: number | undefined;
  readonly #stop = new AbortController();
  readonly #timer = setInterval(() => this.#begin(), EVERY).unref();
  #underWay: Promise<void> | undefined;

  /** @param purgeAfter the days after which inactive mailboxes go; undefined for never */
  constructor(
    runtime: Pick<Runtime, "store" | "now">,
    log: Log,
    isClockPlausible: () => boolean,
    purgeAfter: number | undefined,
  ) {
    this.#runtime = runtime;
    this.#log = log;
    this.#isClockPlausible = isClockPlausible;
    this.#purgeAfter = purgeAfter;
    this.#begin();
  }

  /** Resolves when the current batch has ended; the next start does the rest. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#underWay;
  }

  /** Does nothing while the last run is still under way. */
  #begin(): void {
    this.#underWay ??= this.#keep().finally(() => {
      this.#underWay = undefined;
    });
  }

  async #keep(): Promise<void> {
    const isPlausible = this.#isClockPlausible();
    await this.#forgetOld(isPlausible);
    if (isPlausible && this.#purgeAfter !== undefined) {
      await purgeInactive(this.#runtime, this.#log, this.#purgeAfter, this.#stop.signal);
    }
  }

  /** Deletes removals, audit entries, ended keys and password links that are past their time. */
  async #forgetOld(isPlausible: boolean): Promise<void> {
    const { store, now } = this.#runtime;
    const before = new Date(now().getTime() - REMOVALS_KEPT).toISOString();
    const inBatches = (batch: Parameters<Store["writeInBatches"]>[0]) =>
      store.writeInBatches(batch, this.#stop.signal);
    try {
      await inBatches(({ state }) => state.forgetBefore(before));
      if (isPlausible) {
        await inBatches(({ audit }) => audit.forget(now()));
        await inBatches(({ endedKeys }) => endedKeys.forget(now()));
        await inBatches(({ dkimKeys }) => dkimKeys.forget(now()));
        await store.write(({ passwordLinks }) => passwordLinks.forget(now()));
      }
    } catch (error) {
      logFailure(this.#log, "old removals, audit entries, keys and links could not be deleted", error);
    }
  }
}
