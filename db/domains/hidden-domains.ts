import { type Kysely, sql } from "kysely";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";

/** Maximum number of mailboxes that a removal erases itself. A domain with more is hidden. */
export const ERASED_AT_ONCE = 500;

/** ms of erasing in one batch. Other writers wait that long. */
const BATCH = 50;
/** Mailboxes per statement. */
const ROWS = 100;

/**
 * Removed domains with more mailboxes than one transaction should erase. They are invisible until batches have erased
 * them. A restore also hides its domains until the change-over (staged-state.ts).
 */
export class HiddenDomains {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** Hides a domain and frees its name. */
  async hide(id: number): Promise<void> {
    await sql`UPDATE domains SET name = 'hidden ' || id, erase_after = '' WHERE id = ${id}`.execute(this.#db);
  }

  /** The id of a domain that is due for erasing. */
  async due(): Promise<number | undefined> {
    const { rows } = await sql<{ id: number }>`SELECT id FROM domains
      WHERE erase_after IS NOT NULL AND erase_after <= ${new Date().toISOString()} LIMIT 1`.execute(this.#db);
    return rows[0]?.id;
  }

  /**
   * Erases some mailboxes of domains that are due, then the domains themselves.
   *
   * @returns false when nothing is left
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
    const aliases = await sql`DELETE FROM aliases WHERE id IN
      (SELECT id FROM aliases WHERE domain_id = ${id} LIMIT ${atMost(ROWS)})`.execute(this.#db);
    if (aliases.numAffectedRows === BigInt(ROWS)) return;
    await this.#db.deleteFrom("domains").where("id", "=", id).execute();
  }
}
