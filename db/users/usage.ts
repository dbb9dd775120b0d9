import { type Kysely, sql } from "kysely";
import type { Schema } from "../schema.ts";
import { andWithin } from "../within.ts";
import type { User } from "./rows.ts";

/** What nodes report of mailboxes. It is no part of the state that they serve: no change of it makes a revision. */
export class UsageTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /**
   * Notes that these mailboxes have reached a limit of what they may send.
   *
   * @param domains those that the reporting node serves; null for all. Other mailboxes, and unknown ones, are left out
   * @param day as 2026-11-30
   * @returns the number of mailboxes that are noted
   */
  async noteLimited(
    emails: readonly string[],
    domains: readonly string[] | null,
    day: string,
  ): Promise<number> {
    if (emails.length === 0) return 0;
    const { numAffectedRows } = await sql`INSERT INTO mailbox_usage (user_id, limited_on)
      SELECT users.id, ${day} FROM json_each(${JSON.stringify(emails)}) AS email CROSS JOIN domains CROSS JOIN users
      WHERE domains.name = substr(email.value, instr(email.value, '@') + 1) AND users.domain_id = domains.id
        AND users.local_part = substr(email.value, 1, instr(email.value, '@') - 1)${andWithin(domains === null ? undefined : new Set(domains))}
      ON CONFLICT (user_id) DO UPDATE SET limited_on = excluded.limited_on`.execute(this.#db);
    return Number(numAffectedRows ?? 0);
  }

  /** The last day on which a mailbox reached a limit; null if none was reported. */
  async limitedOn({ id }: User): Promise<string | null> {
    const row = await this.#db
      .selectFrom("mailbox_usage")
      .select("limited_on")
      .where("user_id", "=", id)
      .executeTakeFirst();
    return row?.limited_on ?? null;
  }

  /** The mailboxes of all domains that have reached a limit on this day or later, the latest first. */
  async limitedSince(day: string): Promise<Array<{ email: string; on: string }>> {
    const { rows } = await sql<{ email: string; on: string }>`SELECT
        users.local_part || '@' || domains.name AS email, limited_on AS "on"
      FROM mailbox_usage CROSS JOIN users CROSS JOIN domains
      WHERE limited_on >= ${day} AND users.id = mailbox_usage.user_id AND domains.id = users.domain_id AND erase_after IS NULL
      ORDER BY limited_on DESC, domains.name, users.local_part`.execute(this.#db);
    return rows;
  }
}
