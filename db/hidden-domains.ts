import { type Kysely, sql } from "kysely";
import type { Schema } from "./schema.ts";
import { atMost } from "./statements.ts";

/** Mailboxes that a removal erases itself; a domain with more is hidden. */
export const ERASED_AT_ONCE = 500;

/** ms that one batch erases for: other writers wait that long. */
const BATCH = 50;
/** Mailboxes that one statement erases. */
const ROWS = 100;

/**
 * Domains with more mailboxes than one transaction should erase: out of sight, until they are gone. A restore hides
 * its domains until the change-over (staged-state.ts).
 */
export class HiddenDomains {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** Frees its name, and shows it to nobody from here on. */
  async hide(id: number): Promise<void> {
    await sql`UPDATE domains SET name = 'hidden ' || id, erase_after = '' WHERE id = ${id}`.execute(this.#db);
  }

  /** The id of one that is to be erased by now. */
  async due(): Promise<number | undefined> {
    const { rows } = await sql<{ id: number }>`SELECT id FROM domains
      WHERE erase_after IS NOT NULL AND erase_after <= strftime('%Y-%m-%dT%H:%M:%fZ', 'now') LIMIT 1`.execute(
      this.#db,
    );
    return rows[0]?.id;
  }

  /**
   * Erases some mailboxes of domains that are due, then the domains themselves.
   *
   * @returns false when none is left
   */
  async erase(): Promise<boolean> {
    const began = performance.now();
    do {
      const id = await this.due();
      if (id === undefined) return false;
      await this.#eraseSome(id);
    } while (performance.now() - began < BATCH);
    return true;
  }

  async #eraseSome(id: number): Promise<void> {
    const { numAffectedRows } = await sql`DELETE FROM users WHERE id IN
      (SELECT id FROM users WHERE domain_id = ${id} LIMIT ${atMost(ROWS)})`.execute(this.#db);
    if (numAffectedRows === BigInt(ROWS)) return;
    await this.#db.deleteFrom("domains").where("id", "=", id).execute();
  }
}
