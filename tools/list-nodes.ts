import { z } from "zod";
import type { SeenNode } from "../db/nodes.ts";
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
    "is live on a node when its applied_revision is at least R; removals are not while the reason is " +
    "removals_withheld. status: never (has not polled yet), current, behind (will catch up within a minute), stale (no contact for 5 minutes), failing (could not apply; see reason). " +
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
        reason_count: z
          .int()
          .nullable()
          .describe("How many the reason is about; null where there is nothing to count."),
        hint: z.string().nullable().describe("What to do about it; null when nothing is to be done."),
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
      const status = statusOf(node, applied !== null && applied >= revision, at);
      return {
        name: node.name,
        ip_address: node.ipAddress,
        created_at: node.createdAt,
        last_sync_at: node.lastSyncAt,
        applied_revision: applied,
        status,
        reason: node.report?.reason ?? null,
        reason_count: node.report?.count ?? null,
        hint: hintOf(node, status),
      };
    });
    return { nodes, revision };
  },
});

function statusOf(node: SeenNode, upToDate: boolean, at: string): (typeof nodeStatuses)[number] {
  if (node.lastSyncAt === null) return "never";
  if (Date.parse(at) - Date.parse(node.lastSyncAt) > STALE_AFTER) return "stale";
  if (node.report !== null && node.report.status !== "applied") return "failing";
  return upToDate ? "current" : "behind";
}

/** Only an operator at a shell can let removals through: the mail of a whole company may hang on it. */
function hintOf({ name, report }: SeenNode, status: (typeof nodeStatuses)[number]): string | null {
  if (status === "never")
    return "The node has not polled yet: see that its key file and its server URL are right.";
  if (status === "stale")
    return "See on the node whether it runs and reaches the server: m25-mail-node status.";
  if (status !== "failing") return null;
  if (report?.reason === "removals_withheld") {
    return (
      `The node keeps serving ${report.count ?? "some"} mailboxes that were removed, for they are many at once. If that is ` +
      `meant, an operator lets them go at the server's shell: m25-mail node accept ${name}. Else bring them back.`
    );
  }
  return "The node serves what it had and tries again each minute; its log has the details: m25-mail-node status.";
}
