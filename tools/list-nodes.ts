import * as z from "zod";
import { NextCursor, Timestamp } from "./fields.ts";
import { nodeStatuses } from "./node-condition.ts";
import { nodePage, nodePageFields } from "./node-page.ts";
import { defineTool } from "./tool.ts";

export const listNodes = defineTool({
  endpoint: "list-nodes",
  title: "List mail nodes",
  description:
    "Lists the nodes (the machines that run Postfix and Dovecot) and how far each has come: a change with revision R " +
    "is live on a node when its applied_revision is at least R; removals are not while the reason is " +
    "removals_withheld. status: never (has not polled yet), current (serves this revision, with the same digest), behind (will catch up within a minute), stale (no contact for 5 minutes), failing (could not apply, or is refused for its address; see reason). " +
    "Where there is no node, or none but never, nobody serves this mail yet: the operator must add one and join it. " +
    "Sync keys are never shown.",
  effect: "read",
  scopes: ["nodes"],
  ofAllDomains: true,
  input: z.strictObject(nodePageFields),
  output: z.object({
    nodes: z.array(
      z.object({
        name: z.string(),
        ip_address: z.string().nullable(),
        created_at: Timestamp,
        last_sync_at: Timestamp.nullable(),
        applied_revision: z
          .int()
          .nullable()
          .describe("null while the node serves nothing of this database's line of revisions."),
        status: z.enum(nodeStatuses),
        reason: z
          .string()
          .nullable()
          .describe(
            "Why the node is failing, as a word such as disk_full, digest_differs or address_refused; else null.",
          ),
        reason_count: z
          .int()
          .nullable()
          .describe("How many the reason is about; null where there is nothing to count."),
        ended_key_used_at: Timestamp.nullable().describe(
          "When a sync key of the node was used last after it had ended, a sign of theft; else null.",
        ),
        hint: z.string().nullable().describe("What to do about it; null when nothing is to be done."),
      }),
    ),
    revision: z.int().describe("The revision that nodes should have applied by now."),
    total: z.int().describe("All nodes that this list has, on every page."),
    next_cursor: NextCursor,
  }),
  async run({ tables, at }, input) {
    const { page, total, nextCursor } = await nodePage(tables, at, input);
    const nodes = page.map(({ node, condition }) => ({
      name: node.name,
      ip_address: node.ipAddress,
      created_at: node.createdAt,
      last_sync_at: node.lastSync?.at ?? null,
      applied_revision: condition.appliedRevision,
      status: condition.status,
      reason: condition.reason,
      reason_count: condition.reasonCount,
      ended_key_used_at: condition.endedKeyUse?.at ?? null,
      hint: condition.hint,
    }));
    return { nodes, revision: await tables.state.revision(), total, next_cursor: nextCursor };
  },
});
