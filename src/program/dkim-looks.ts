import type { Runtime } from "../../tools/call/call.ts";
import { type Log, logFailure } from "../log/log.ts";

/** ms between two questions whether a key is due: an index answers. */
const EVERY = 5_000;

/** Lets the running server look in DNS for the records of its nodes' DKIM keys. */
export class DkimLooks {
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #timer = setInterval(() => this.#begin(), EVERY).unref();
  readonly #stop = new AbortController();
  #underWay: Promise<void> | undefined;

  constructor(runtime: Runtime, log: Log) {
    this.#runtime = runtime;
    this.#log = log;
  }

  /** Ends the present look. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#underWay;
  }

  #begin(): void {
    this.#underWay ??= this.#look().finally(() => {
      this.#underWay = undefined;
    });
  }

  async #look(): Promise<void> {
    const { store, now, settings } = this.#runtime;
    try {
      const due = await store.read(({ dkimKeys }) => dkimKeys.unseen(now().toISOString(), 1));
      if (due.length === 0) return;
      // DNS is loaded only where a node signs.
      const { lookForKeys } = await import("../../tools/sets/dns/look-for-keys.ts");
      await lookForKeys(store, now(), { nameServer: settings?.nameServer, stop: this.#stop.signal });
    } catch (error) {
      logFailure(this.#log, "DKIM keys could not be looked for in DNS", error);
    }
  }
}
