import type { Kysely } from "kysely";
import type { Schema } from "./schema.ts";

export interface AuditEntry {
  at: string;
  principal: string;
  /** How the call came in: stdio, mcp, rest, cli, sync. */
  door: string;
  tool: string;
  /** The input without its secret fields. */
  arguments: Record<string, unknown>;
  /** The revision after the call. */
  revision: number;
}

/** Who changed what. Written in the transaction of the change: without its entry no change happens. */
export class AuditTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async append(entry: AuditEntry): Promise<void> {
    await this.#db
      .insertInto("audit_log")
      .values({ ...entry, arguments: JSON.stringify(entry.arguments) })
      .execute();
  }
}
