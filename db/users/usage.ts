import { type Kysely, type RawBuilder, type Selectable, sql } from "kysely";
import type { MailboxUsage } from "../../src/sync/usage.ts";
import type { Domain } from "../domains/domains.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import { andWithin } from "../within.ts";
import { toUser, type User, type UserRow } from "./rows.ts";

/** What nodes have reported of a mailbox; null for what none has. */
export interface Usage {
  usedKib: number | null;
  messages: number | null;
  lastLogin: string | null;
  unusedSince: string | null;
  reportedOn: string | null;
  /** The last day on which it reached a limit of what it may send. */
  limitedOn: string | null;
}

/** The mailbox before a page, by the column that orders the list. */
export interface UsagePosition<Value> {
  value: Value;
  id: number;
}

/** ms after which another node's smaller figures take the place of those of a node that reports no more. */
const STALE = 3 * 86_400_000;

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
    const once = JSON.stringify([...new Set(emails)]);
    const { numAffectedRows } = await sql`INSERT INTO mailbox_usage (user_id, limited_on)
      SELECT users.id, ${day} FROM json_each(${once}) AS email CROSS JOIN domains CROSS JOIN users
      WHERE ${isOf(sql`email.value`)}${served(domains)}
      ON CONFLICT (user_id) DO UPDATE SET limited_on = excluded.limited_on`.execute(this.#db);
    return Number(numAffectedRows ?? 0);
  }

  /**
   * Notes sizes and last logins. Where several nodes serve a mailbox, its size is that of the largest, and its last login the
   * latest of all.
   *
   * @param node `domains` as for noteLimited
   * @param mailboxes each once
   * @param day that of the report; a node's clock may be wrong, so no login is later
   */
  async report(
    node: { id: number; domains: readonly string[] | null },
    mailboxes: readonly MailboxUsage[],
    day: string,
  ): Promise<void> {
    const rows = mailboxes.map(({ user, used_kib, messages, last_login }) => {
      const login = last_login != null && last_login > day ? day : last_login;
      return [user, used_kib, messages, login ?? null, login === undefined ? null : (login ?? day)];
    });
    const stale = new Date(Date.parse(day) - STALE).toISOString().slice(0, 10);
    // The node that gave the figures corrects them, and another one that has more.
    const replaces = sql`(mailbox_usage.used_kib IS NULL OR mailbox_usage.node_id = excluded.node_id
      OR mailbox_usage.used_kib <= excluded.used_kib OR mailbox_usage.reported_on < ${stale})`;
    const replaced = ["node_id", "used_kib", "messages", "reported_on"].map((name) => {
      const column = sql.raw(name);
      return sql`${column} = CASE WHEN ${replaces} THEN excluded.${column} ELSE mailbox_usage.${column} END`;
    });
    await sql`INSERT INTO mailbox_usage
        (user_id, domain_id, node_id, used_kib, messages, last_login, unused_since, reported_on)
      SELECT users.id, domains.id, CAST(${node.id} AS bigint), CAST(one.value ->> 1 AS bigint),
        CAST(one.value ->> 2 AS bigint), one.value ->> 3, one.value ->> 4, ${day}
      FROM json_each(${JSON.stringify(rows)}) AS one CROSS JOIN domains CROSS JOIN users
      WHERE ${isOf(sql`(one.value ->> 0)`)}${served(node.domains)}
      ON CONFLICT (user_id) DO UPDATE SET domain_id = excluded.domain_id, ${sql.join(replaced)},
        last_login = ${latest(sql`mailbox_usage.last_login`, sql`mailbox_usage.last_login`)},
        unused_since = ${latest(
          sql`mailbox_usage.unused_since`,
          sql`coalesce(mailbox_usage.unused_since, excluded.unused_since)`,
        )}`.execute(this.#db);
  }

  /** The usage of these mailboxes, by their ids. */
  async of(users: readonly User[]): Promise<Map<number, Usage>> {
    const ids = JSON.stringify(users.map(({ id }) => id));
    const rows = await this.#db
      .selectFrom("mailbox_usage")
      .selectAll()
      .where(sql<boolean>`user_id IN (SELECT CAST(value AS bigint) FROM json_each(${ids}))`)
      .execute();
    return new Map(rows.map((row) => [row.user_id, toUsage(row)]));
  }

  /** At most `limit` mailboxes of a domain, the largest first, from those that nodes have reported. */
  largest(domain: Domain, limit: number, after?: UsagePosition<number>): Promise<Array<[User, Usage]>> {
    const rest = after && sql` AND (used_kib, user_id) < (${after.value}, ${after.id})`;
    return this.#page(domain, limit, {
      where: sql`used_kib IS NOT NULL${rest ?? sql``}`,
      order: sql`used_kib DESC, user_id DESC`,
    });
  }

  /** At most `limit` mailboxes of a domain that nobody has logged in to since before `day`, the longest unused first. */
  unused(
    domain: Domain,
    day: string,
    limit: number,
    after?: UsagePosition<string>,
  ): Promise<Array<[User, Usage]>> {
    const rest = after && sql` AND (unused_since, user_id) > (${after.value}, ${after.id})`;
    return this.#page(domain, limit, {
      where: sql`unused_since <= ${day}${rest ?? sql``}`,
      order: sql`unused_since, user_id`,
    });
  }

  /** The number of mailboxes of largest(), or with a day of unused(), counted up to `most`. */
  async count(domain: Domain, most: number, day?: string): Promise<number> {
    const counted = day === undefined ? sql`used_kib IS NOT NULL` : sql`unused_since <= ${day}`;
    const { rows } = await sql<{ number: number }>`SELECT count(*) AS number FROM
      (SELECT 1 FROM mailbox_usage WHERE domain_id = ${domain.id} AND ${counted} LIMIT ${atMost(most)}) AS found`.execute(
      this.#db,
    );
    return rows[0]?.number ?? 0;
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

  async #page(
    { id, name }: Domain,
    limit: number,
    { where, order }: { where: RawBuilder<unknown>; order: RawBuilder<unknown> },
  ): Promise<Array<[User, Usage]>> {
    const { rows } = await sql<UserRow & UsageRow>`SELECT users.*, usage.* FROM
      (SELECT * FROM mailbox_usage WHERE domain_id = ${id} AND ${where} ORDER BY ${order} LIMIT ${atMost(limit)}) AS usage
      CROSS JOIN users WHERE users.id = usage.user_id ORDER BY ${order}`.execute(this.#db);
    return rows.map((row) => [toUser({ ...row, domain: name, domain_id: id }), toUsage(row)]);
  }
}

type UsageRow = Selectable<Schema["mailbox_usage"]>;

function toUsage(row: UsageRow): Usage {
  return {
    usedKib: row.used_kib,
    messages: row.messages,
    lastLogin: row.last_login,
    unusedSince: row.unused_since,
    reportedOn: row.reported_on,
    limitedOn: row.limited_on,
  };
}

/** The condition that a user of a domain has this address. */
function isOf(email: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`domains.name = substr(${email}, instr(${email}, '@') + 1) AND users.domain_id = domains.id
    AND users.local_part = substr(${email}, 1, instr(${email}, '@') - 1)`;
}

function served(domains: readonly string[] | null): RawBuilder<unknown> {
  return andWithin(domains === null ? undefined : new Set(domains));
}

/** The reported login if it is later than this day, else `otherwise`. */
function latest(day: RawBuilder<unknown>, otherwise: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`CASE WHEN excluded.last_login > coalesce(${day}, '') THEN excluded.last_login ELSE ${otherwise} END`;
}
