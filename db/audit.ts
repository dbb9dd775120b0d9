import { type Kysely, sql } from "kysely";
import type { ErrorCode } from "../src/mail/error.ts";
import type { Schema } from "./schema.ts";
import type { StateTable } from "./state.ts";

/** Refusals to keep for each principal and hour: a loop of refused calls must not fill the disk. */
const REFUSALS_AN_HOUR = 200;
const HOUR = 3_600_000;
const DAY = 86_400_000;

/** Rows to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

export interface AuditEntry {
  at: string;
  principal: string;
  /** The door of the call: stdio, mcp, rest, cli, page, sync. */
  door: string;
  /** The calling program, as it names itself. */
  client?: string | undefined;
  /** The client's address over HTTP; behind trusted proxies the real one. */
  address?: string | undefined;
  /** The id of the HTTP request, as in the server's log. */
  request?: string | undefined;
  tool: string;
  /** The input without secret fields. For a refused call, only its valid fields. */
  arguments: Record<string, unknown>;
  /** `done`, or the code of the refusal. */
  outcome?: ErrorCode;
}

/** An entry as read back. `id` rises with each entry. */
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
 * The log of changes and refused calls. The entry of a change is written in the same transaction, so no change
 * happens without its entry. Triggers refuse everything except appending and deleting entries past their retention.
 */
export class AuditTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;

  constructor(db: Kysely<Schema>, state: StateTable) {
    this.#db = db;
    this.#state = state;
  }

  /**
   * Appends at least one entry when the transaction ends. Call it after the change, so that the entries have the new
   * revision.
   */
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
    this.#state.runLast(this.#db.insertInto("audit_log").values(rows));
  }

  /** Appends a refused call, unless the principal has reached the limit of this hour. */
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

  /** Entries from `since` on, oldest first unless `newestFirst`; with a principal, only that one's. */
  async page(
    limit: number,
    filter: {
      since?: string | undefined;
      principal?: string | undefined;
      newestFirst?: boolean | undefined;
    },
    after: { at: string; id: number } | undefined,
  ): Promise<AuditRow[]> {
    const [direction, beyond] = filter.newestFirst ? (["desc", "<"] as const) : (["asc", ">"] as const);
    let query = this.#db
      .selectFrom("audit_log")
      .selectAll()
      .orderBy("at", direction)
      .orderBy("id", direction)
      .limit(limit);
    if (filter.since !== undefined) query = query.where("at", ">=", filter.since);
    if (filter.principal !== undefined) query = query.where("principal", "=", filter.principal);
    if (after !== undefined)
      query = query.where(sql<boolean>`(at, id) ${sql.raw(beyond)} (${after.at}, ${after.id})`);
    return (await query.execute()).map((row) => ({ ...row, arguments: JSON.parse(row.arguments) }));
  }

  /** The time of the last entry; null without entries. */
  async lastAt(): Promise<string | null> {
    const last = this.#db.selectFrom("audit_log").select("at").orderBy("id", "desc").limit(1);
    return (await last.executeTakeFirst())?.at ?? null;
  }

  /** Days to keep entries; null is for ever. */
  async retention(): Promise<number | null> {
    const { days } = await this.#db.selectFrom("audit_retention").select("days").executeTakeFirstOrThrow();
    return days;
  }

  async setRetention(days: number | null): Promise<void> {
    await this.#db.updateTable("audit_retention").set({ days }).execute();
  }

  /**
   * Deletes some entries that are past the retention.
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
