import { setImmediate as nextTurn } from "node:timers/promises";
import type { Contacts } from "../store.ts";
import { openConnection } from "./connection.ts";
import { retryWhileBusy, unavailable } from "./errors.ts";

/** Rows per transaction, about a millisecond: thousands of nodes may have called within a second. */
const BATCH = 500;

/**
 * Records contacts, on its own connection that does not wait for the disk: an fsync each second would be the longest stall
 * of all other requests, and losing a contact time in a power cut does no harm.
 */
export class ContactWriter {
  readonly #path: string;
  #opened: Statements | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws MailError unavailable */
  async record({ nodes, tokens, refused = new Map(), at }: Contacts): Promise<void> {
    try {
      this.#opened ??= open(this.#path);
      const { node, token, refusal } = this.#opened;
      for (const [statement, callers] of [
        [node, [...nodes]],
        [token, [...tokens].map((id): Caller => [id, null])],
        [refusal, [...refused]],
      ] as const) {
        for (const batch of batches(callers)) {
          await retryWhileBusy(async () => statement.run({ callers: JSON.stringify(batch), at }));
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

/** An id, with the address if it is recorded. */
type Caller = [id: number, address: string | null];

type Statements = ReturnType<typeof open>;

function open(path: string) {
  const connection = openConnection(path, { readonly: false, isFirst: false });
  connection.pragma("synchronous = NORMAL");
  connection.pragma("busy_timeout = 0"); // retryWhileBusy() waits instead and blocks nobody
  const prepare = (text: string) => connection.prepare<{ callers: string; at: string }>(text);
  // Select from nodes, because a node may have been removed since its call.
  const noteIn = (table: string) =>
    prepare(
      `INSERT INTO ${table} (node_id, at, address)
       SELECT nodes.id, @at, value ->> 1 FROM json_each(@callers) JOIN nodes ON nodes.id = value ->> 0 WHERE true
       ON CONFLICT (node_id) DO UPDATE SET at = excluded.at, address = excluded.address`,
    );
  return {
    connection,
    node: noteIn("contacts"),
    refusal: noteIn("refused_contacts"),
    token: prepare(
      "UPDATE tokens SET last_used_at = @at WHERE id IN (SELECT value ->> 0 FROM json_each(@callers))",
    ),
  };
}

function* batches(all: readonly Caller[]): Generator<Caller[]> {
  for (let first = 0; first < all.length; first += BATCH) yield all.slice(first, first + BATCH);
}
