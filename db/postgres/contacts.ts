import type { Contacts } from "../store.ts";
import { translated } from "./errors.ts";
import type { Pool } from "./pool.ts";

/** Rows per statement, about a millisecond: thousands of nodes may have called within a second. */
const BATCH = 500;

/** An id, with the address if it is recorded. */
type Caller = [id: number, address: string | null];

// Rows are locked in the order of their ids, as by every server: two that record at once do not wait for each other in a circle.
const contactsIn = (table: string) =>
  `INSERT INTO ${table} (node_id, at, address)
   SELECT nodes.id, $2, value ->> 1 FROM json_each($1) JOIN nodes ON nodes.id = CAST(value ->> 0 AS bigint)
   ORDER BY nodes.id
   ON CONFLICT (node_id) DO UPDATE SET at = excluded.at, address = excluded.address`;
const TOKENS = `UPDATE tokens SET last_used_at = $2 WHERE id IN (SELECT id FROM tokens
  WHERE id IN (SELECT CAST(value ->> 0 AS bigint) FROM json_each($1)) ORDER BY id FOR UPDATE)`;

/** Records contacts without waiting for PostgreSQL's disk: losing a contact time in a power cut does no harm. */
export async function recordContacts(
  pool: Pool,
  { nodes, tokens, refused = new Map(), at }: Contacts,
): Promise<void> {
  const work = [
    [contactsIn("contacts"), [...nodes]],
    [TOKENS, [...tokens].map((id): Caller => [id, null])],
    [contactsIn("refused_contacts"), [...refused]],
  ] as const;
  await translated(async () => {
    for (const [text, callers] of work) {
      for (let first = 0; first < callers.length; first += BATCH) {
        await pool.query({ text, values: [JSON.stringify(callers.slice(first, first + BATCH)), at] });
      }
    }
  });
}
