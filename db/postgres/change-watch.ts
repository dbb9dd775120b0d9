import type pg from "pg";
import type { PollReader } from "../store.ts";
import type { Connections } from "./connections.ts";

/** ms between two looks while somebody listens: a connection that hears nothing any more does not tell. */
const LOOK_EVERY = 1_000;

/** The channel on which a trigger on the state tells of a new version. */
export const CHANNEL = "m25_mail_changed";

/** Notices that the state, or a node, has changed, whichever server changed it. */
export class ChangeWatch {
  readonly #polls: PollReader;
  readonly #connections: Connections;
  readonly #listeners = new Set<() => void>();
  /** Changes of which listeners were told, by what found them. */
  readonly signals = { notification: 0, look: 0 };
  /** The version (PollView) that the listeners know. */
  #seen = "";
  #client: pg.Client | undefined;
  /** Ends with its connection. */
  #listening: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(polls: PollReader, connections: Connections) {
    this.#polls = polls;
    this.#connections = connections;
  }

  /** @returns ends the calls of `listener` */
  on(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#start();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) clearInterval(this.#timer);
    };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#client?.end().catch(() => {});
    await this.#listening;
  }

  #start(): void {
    this.#seen = this.#polls.latest();
    this.#timer = setInterval(() => this.#tick(), LOOK_EVERY);
    this.#tick();
  }

  /** The connection stays open for the next listener. */
  #tick(): void {
    this.#listen();
    void this.#look("look");
  }

  /** Does nothing while a connection listens or is made. */
  #listen(): void {
    this.#listening ??= this.#connections
      .open()
      .then(async (client) => {
        client.on("notification", () => void this.#look("notification"));
        const end = new Promise<void>((resolve) =>
          client.once("end", resolve).once("error", () => resolve()),
        );
        this.#client = client;
        if (this.#isClosed) return client.end();
        await client.query(`LISTEN ${CHANNEL}`);
        await this.#look("look"); // what was told before
        await end;
        await client.end();
      })
      .catch(() => {}) // the next tick tries again
      .finally(() => {
        this.#listening = undefined;
      });
  }

  async #look(by: keyof ChangeWatch["signals"]): Promise<void> {
    if (this.#listeners.size === 0) return;
    const now = await this.#polls.look().then(
      ({ version }) => version,
      () => "", // a listener's own look reports the error
    );
    if (now === this.#seen) return;
    this.#seen = now;
    this.signals[by] += 1;
    for (const listener of [...this.#listeners]) listener();
  }
}
