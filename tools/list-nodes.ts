import { z } from "zod";
import type { MailNode } from "../db/nodes.ts";
import { Timestamp } from "./fields.ts";
import { defineTool } from "./tool.ts";

/** Nodes poll every minute; without contact for this long, something is wrong. In ms. */
const STALE_AFTER = 5 * 60_000;

const nodeStatuses = ["never", "current", "behind", "stale", "failing"] as const;

export const listNodes = defineTool({
  endpoint: "list-nodes",
  title: "List mail nodes",
  description:
    "Lists the nodes (the machines that run Postfix and Dovecot) and how far each has come: a change with revision R " +
    "is live on a node when its applied_revision is at least R. status: never (has not polled yet), current, behind " +
    "(will catch up within a minute), stale (no contact for 5 minutes), failing (could not apply; see reason). " +
    "Sync keys are never shown.",
  effect: "read",
  scope: () => "nodes",
  input: z.strictObject({}),
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
          .describe("Why the node is failing, as a word such as disk_full; else null."),
      }),
    ),
    revision: z.int().describe("The revision that nodes should have applied by now."),
  }),
  async run({ tables, at }) {
    const revision = await tables.state.revision();
    const history = await tables.state.history();
    const nodes = (await tables.nodes.all()).map((node) => {
      // A number of another history (before a database was put back from a backup) says nothing about this one.
      const applied = node.report?.history === history ? node.report.revision : null;
      return {
        name: node.name,
        ip_address: node.ipAddress,
        created_at: node.createdAt,
        last_sync_at: node.lastSyncAt,
        applied_revision: applied,
        status: statusOf(node, applied !== null && applied >= revision, at),
        reason: node.report?.reason ?? null,
      };
    });
    return { nodes, revision };
  },
});

function statusOf(node: MailNode, upToDate: boolean, at: string): (typeof nodeStatuses)[number] {
  if (node.lastSyncAt === null) return "never";
  if (Date.parse(at) - Date.parse(node.lastSyncAt) > STALE_AFTER) return "stale";
  if (node.report !== null && node.report.status !== "applied") return "failing";
  return upToDate ? "current" : "behind";
}
