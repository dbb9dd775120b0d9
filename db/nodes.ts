import type { Kysely, Selectable } from "kysely";
import { MailError } from "../src/mail/error.ts";
import type { Report } from "../src/sync/report.ts";
import type { Schema } from "./schema.ts";

/** Rows that one statement sets: thousands of nodes may have polled within a second. */
const BATCH = 500;

export interface MailNode {
  id: number;
  name: string;
  ipAddress: string | null;
  createdAt: string;
  lastSyncAt: string | null;
  /** What the node said last, or null when it has said nothing yet. */
  report: {
    revision: number;
    history: string;
    digest: string;
    status: Report["status"];
    reason: Report["reason"];
    version: string;
    at: string;
  } | null;
}

/** Nodes, their sync keys (hashes only) and what they said last. */
export class NodeTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async all(): Promise<MailNode[]> {
    return (await this.#db.selectFrom("nodes").selectAll().orderBy("name").execute()).map(toNode);
  }

  /** @throws MailError node_exists */
  async add(
    node: { name: string; ipAddress: string | null; keyId: string; keyHash: string },
    at: string,
  ): Promise<void> {
    const row = await this.#db
      .insertInto("nodes")
      .values({
        name: node.name,
        ip_address: node.ipAddress,
        key_id: node.keyId,
        key_hash: node.keyHash,
        created_at: at,
      })
      .onConflict((conflict) => conflict.column("name").doNothing())
      .returning("id")
      .executeTakeFirst();
    if (row !== undefined) return;
    throw new MailError(
      "node_exists",
      `A node named ${node.name} is registered already.`,
      "Choose another name, or see the nodes with m25_mail_list_nodes. Its sync key cannot be shown again.",
    );
  }

  /** @throws MailError node_not_found */
  async remove(name: string): Promise<void> {
    const row = await this.#db
      .deleteFrom("nodes")
      .where("name", "=", name)
      .returning("id")
      .executeTakeFirst();
    if (row !== undefined) return;
    throw new MailError(
      "node_not_found",
      `There is no node named ${name}.`,
      "See the nodes with m25_mail_list_nodes.",
    );
  }

  async recordReport(id: number, report: Report, at: string): Promise<void> {
    await this.#db
      .updateTable("nodes")
      .set({
        applied_revision: report.revision,
        applied_history: report.history,
        applied_digest: report.digest,
        report_status: report.status,
        report_reason: report.reason,
        program_version: report.version,
        reported_at: at,
      })
      .where("id", "=", id)
      .execute();
  }

  async recordContacts(ids: ReadonlySet<number>, at: string): Promise<void> {
    const all = [...ids];
    for (let first = 0; first < all.length; first += BATCH) {
      const batch = all.slice(first, first + BATCH);
      await this.#db.updateTable("nodes").set({ last_sync_at: at }).where("id", "in", batch).execute();
    }
  }
}

function toNode(row: Selectable<Schema["nodes"]>): MailNode {
  return {
    id: row.id,
    name: row.name,
    ipAddress: row.ip_address,
    createdAt: row.created_at,
    lastSyncAt: row.last_sync_at,
    report:
      row.reported_at === null
        ? null
        : {
            revision: row.applied_revision ?? 0,
            history: row.applied_history ?? "",
            digest: row.applied_digest ?? "",
            status: row.report_status as Report["status"],
            reason: row.report_reason as Report["reason"],
            version: row.program_version ?? "",
            at: row.reported_at,
          },
  };
}
