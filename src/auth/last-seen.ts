import type { Store } from "../../db/store.ts";
import type { Log } from "../log/log.ts";
import { MailError } from "../mail/error.ts";

const FLUSH_EVERY = 1_000;

/**
 * The nodes' last contacts, with their addresses, and the tokens' last uses. They are kept in memory and written
 * together once a second, all with the time of the latest: a transaction for each poll would cost ten times the poll.
 */
export class LastSeen {
  readonly #store: Store;
  readonly #log: Log;
  readonly #timer: NodeJS.Timeout;
  #nodes = new Map<number, string>();
  #tokens = new Set<number>();
  #refused = new Map<number, string>();
  #latest = new Date(0);
  #writing: Promise<void> = Promise.resolve();
  /** Why the last write failed; undefined if it did not. */
  #trouble: string | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.#timer = setInterval(() => void this.flush(), FLUSH_EVERY).unref();
  }

  node(id: number, address: string, at: Date): void {
    this.#nodes.set(id, address);
    this.#latest = at;
  }

  /** Notes that the node was refused because of its address. */
  refusedNode(id: number, address: string, at: Date): void {
    this.#refused.set(id, address);
    this.#latest = at;
  }

  token(id: number, at: Date): void {
    this.#tokens.add(id);
    this.#latest = at;
  }

  /** Resolves when everything noted before the call is written, or its failure is logged. */
  flush(): Promise<void> {
    const nodes = this.#nodes;
    const tokens = this.#tokens;
    const refused = this.#refused;
    if (nodes.size + tokens.size + refused.size === 0) return this.#writing;
    const at = this.#latest.toISOString();
    this.#nodes = new Map();
    this.#tokens = new Set();
    this.#refused = new Map();
    this.#writing = this.#writing
      .then(() => this.#store.recordContacts({ nodes, tokens, refused, at }))
      .then(
        () => this.#noteTrouble(undefined),
        (error: unknown) => {
          if (error instanceof MailError) this.#noteTrouble(error.message);
          else this.#log.error("contact times could not be written", error);
        },
      );
    return this.#writing;
  }

  /** Logs only when trouble begins and ends: meanwhile a write fails every few seconds. */
  #noteTrouble(trouble: string | undefined): void {
    if (trouble === this.#trouble) return;
    this.#trouble = trouble;
    if (trouble === undefined) this.#log.info("contact times are written again");
    else this.#log.warn(`contact times cannot be written: ${trouble}`);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}
