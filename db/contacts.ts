import { setImmediate as nextTurn } from "node:timers/promises";
import { openConnection, patiently, unavailable } from "./file.ts";
import type { Contacts } from "./store.ts";

/** Rows that are written at once, in about a millisecond: thousands of nodes may have called within a second. */
const BATCH = 500;

/**
 * Writes down who called, on a connection of its own that does not wait for the disk: an fsync each second would be
 * the longest stall of everybody else's requests, and no power cut makes the loss of a contact time hurt.
 */
export class ContactWriter {
  readonly #path: string;
  #opened: Statements | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws MailError unavailable */
  async record({ nodes, tokens, refused = new Set(), at }: Contacts): Promise<void> {
    try {
      this.#opened ??= open(this.#path);
      const { node, token, refusal } = this.#opened;
      for (const [statement, ids] of [
        [node, nodes],
        [token, tokens],
        [refusal, refused],
      ] as const) {
        for (const batch of batches(ids)) {
          await patiently(async () => statement.run({ ids: JSON.stringify(batch), at }));
          await nextTurn();
        }
      }
    } catch (error) {
      throw unavailable(error) ?? error;
    }
  }

  close(): void {
    this.#opened?.connection.close();
  }
}

type Statements = ReturnType<typeof open>;

function open(path: string) {
  const connection = openConnection(path, { readonly: false });
  connection.pragma("synchronous = NORMAL");
  connection.pragma("busy_timeout = 0"); // patiently() waits, and blocks nobody
  const prepare = (text: string) => connection.prepare<{ ids: string; at: string }>(text);
  // By way of the nodes themselves: one may have been removed since it called.
  const noteIn = (table: string) =>
    prepare(
      `INSERT INTO ${table} SELECT id, @at FROM nodes WHERE id IN (SELECT value FROM json_each(@ids))
       ON CONFLICT (node_id) DO UPDATE SET at = @at`,
    );
  return {
    connection,
    node: noteIn("contacts"),
    refusal: noteIn("refused_contacts"),
    token: prepare("UPDATE tokens SET last_used_at = @at WHERE id IN (SELECT value FROM json_each(@ids))"),
  };
}

function* batches(ids: ReadonlySet<number>): Generator<number[]> {
  const all = [...ids];
  for (let first = 0; first < all.length; first += BATCH) yield all.slice(first, first + BATCH);
}
