import { type Kysely, sql } from "kysely";
import type { ErrorCode } from "../src/mail/error.ts";
import type { Schema } from "./schema.ts";
import type { StateTable } from "./state.ts";

/** Refusals of one principal that are kept of any hour: whoever is refused in a loop must not fill the disk. */
const REFUSALS_AN_HOUR = 200;
const HOUR = 3_600_000;
const DAY = 86_400_000;

/** Rows that one transaction forgets: others wait for it. */
const FORGET_ROWS = 1000;

export interface AuditEntry {
  at: string;
  principal: string;
  /** How the call came in: stdio, mcp, rest, cli, sync. */
  door: string;
  /** The program that called, as it names itself. */
  client?: string | undefined;
  /** Where it came from over HTTP, the address of the client behind trusted proxies. */
  address?: string | undefined;
  /** The id of its HTTP request, which the server's log has as well. */
  request?: string | undefined;
  tool: string;
  /** The input without its secret fields; of a refused call, those of its fields that are valid. */
  arguments: Record<string, unknown>;
  /** done, unless the call was refused. */
  outcome?: ErrorCode;
}

/** An entry as it is read back; `id` rises with each. */
export interface AuditRow extends Required<Omit<AuditEntry, "client" | "address" | "request" | "outcome">> {
  id: number;
  /** The revision after the call. */
  revision: number;
  client: string | null;
  address: string | null;
  request: string | null;
  outcome: string;
}

/**
 * Who changed what, and who tried. A change's entry is written in the transaction of the change: without its
 * entry no change happens. Triggers refuse whatever else than appending, and forgetting what is old enough.
 */
export class AuditTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;

  constructor(db: Kysely<Schema>, state: StateTable) {
    this.#db = db;
    this.#state = state;
  }

  /** At least one entry, after the change that they are about: they have the revision which that led to. */
  async append(...entries: readonly AuditEntry[]): Promise<void> {
    const revision = await this.#state.revision();
    const rows = entries.map(
      ({ client = null, address = null, request = null, outcome = "done", ...entry }) => ({
        ...entry,
        client,
        address,
        request,
        outcome,
        arguments: JSON.stringify(entry.arguments),
        revision,
      }),
    );
    await this.#db.insertInto("audit_log").values(rows).execute();
  }

  /** The same for a refused call, unless the principal has had its share of this hour. */
  async appendRefusal(entry: AuditEntry): Promise<void> {
    const anHourAgo = new Date(Date.parse(entry.at) - HOUR).toISOString();
    const recent = await this.#db
      .selectFrom("audit_log")
      .select("id")
      .where(sql<boolean>`outcome <> 'done'`) // a literal, as the partial index asks for
      .where("principal", "=", entry.principal)
      .where("at", ">", anHourAgo)
      .limit(REFUSALS_AN_HOUR)
      .execute();
    if (recent.length < REFUSALS_AN_HOUR) await this.append(entry);
  }

  /** Entries in the order of their times, from `since` on, those of one principal if one is named. */
  async page(
    limit: number,
    filter: { since?: string | undefined; principal?: string | undefined },
    after: { at: string; id: number } | undefined,
  ): Promise<AuditRow[]> {
    let query = this.#db.selectFrom("audit_log").selectAll().orderBy("at").orderBy("id").limit(limit);
    if (filter.since !== undefined) query = query.where("at", ">=", filter.since);
    if (filter.principal !== undefined) query = query.where("principal", "=", filter.principal);
    if (after !== undefined) query = query.where(sql<boolean>`(at, id) > (${after.at}, ${after.id})`);
    return (await query.execute()).map((row) => ({ ...row, arguments: JSON.parse(row.arguments) }));
  }

  /** When the last entry was written, or null when there is none. */
  async lastAt(): Promise<string | null> {
    const last = this.#db.selectFrom("audit_log").select("at").orderBy("id", "desc").limit(1);
    return (await last.executeTakeFirst())?.at ?? null;
  }

  /** For how many days entries are kept; null is for ever. */
  async retention(): Promise<number | null> {
    const { days } = await this.#db.selectFrom("audit_retention").select("days").executeTakeFirstOrThrow();
    return days;
  }

  async setRetention(days: number | null): Promise<void> {
    await this.#db.updateTable("audit_retention").set({ days }).execute();
  }

  /**
   * Forgets what is past its retention, some rows at a time.
   *
   * @returns whether there is more to forget
   */
  async forget(now: Date): Promise<boolean> {
    const days = await this.retention();
    if (days === null) return false;
    const before = new Date(now.getTime() - days * DAY).toISOString();
    const old = this.#db
      .selectFrom("audit_log")
      .select("id")
      .where("at", "<", before)
      .orderBy("at")
      .limit(FORGET_ROWS);
    const { numDeletedRows } = await this.#db
      .deleteFrom("audit_log")
      .where("id", "in", old)
      .executeTakeFirstOrThrow();
    return numDeletedRows === BigInt(FORGET_ROWS);
  }
}
