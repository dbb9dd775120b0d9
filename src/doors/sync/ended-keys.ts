import type { FastifyRequest } from "fastify";
import type { EndedKey, Store } from "../../../db/store.ts";
import { type Log, logFailure } from "../../log/log.ts";

/**
 * ms after a key's end in which its use is not reported. A node may still use it after a rotation: a waiting poll has the key of a minute ago, a timer's run beside the resident program has the one that it read at its start, and a
 * restart takes some minutes. Programs pause for 5 minutes at most between failing polls.
 */
const GRACE = 10 * 60_000;
/** Minimum ms between two reports of the same key. */
const REPORTED_EVERY = 3_600_000;

/** Reports that a key was used after it had ended: in the log, at its node, and the first time in the audit log. */
export class EndedKeyUses {
  readonly #store: Store;
  readonly #log: Log;
  /** Time of each key's last report, in ms since 1970. */
  readonly #reported = new Map<string, number>();

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  note(key: EndedKey, request: FastifyRequest, now: Date): void {
    const time = now.getTime();
    if (time - Date.parse(key.endedAt) < GRACE || this.#wasReported(key.id, time)) return;
    this.#reported.set(key.id, time);
    const { clientAddress: address, id } = request;
    const node = key.node.id === null ? "a removed node" : "a node";
    this.#log.warn(`sync: a key of ${node} was used after it had ended: somebody else may have it`, {
      node: key.node.name,
      address,
      request: id,
    });
    // Do not wait: the answer must not take longer because the key was once right. The store ends writes before it closes.
    this.#record(key, { address, request: id }, now.toISOString()).catch((error: unknown) =>
      logFailure(this.#log, "the use of an ended key could not be noted", error),
    );
  }

  #wasReported(id: string, time: number): boolean {
    for (const [key, at] of this.#reported) {
      if (Math.abs(time - at) >= REPORTED_EVERY) this.#reported.delete(key);
    }
    return this.#reported.has(id);
  }

  async #record(
    { id, node }: EndedKey,
    origin: { address: string; request: string },
    at: string,
  ): Promise<void> {
    await this.#store.write(async ({ endedKeys, audit }) => {
      const isFirst = await endedKeys.notePresented(id, origin.address, at);
      // Only a key's first use gets an entry, and a removed node's key none: its machine may poll for as long as it runs.
      if (isFirst !== true || node.id === null) return;
      const call = { tool: "use-ended-key", arguments: { name: node.name } };
      const outcome = "unauthorized";
      await audit.appendRefusal({
        ...origin,
        ...call,
        at,
        principal: `node ${node.name}`,
        door: "sync",
        outcome,
      });
    });
  }
}
