import * as z from "zod";
import { checkNames } from "../src/mail/node-checks.ts";
import { text } from "../src/mail/text.ts";
import { NextCursor, Timestamp, Words } from "./call/fields.ts";
import { defineTool } from "./call/tool.ts";
import { type JudgedNode, nodeStatuses } from "./nodes/condition.ts";
import { nodePage, nodePageFields } from "./nodes/page.ts";

/** A node in the answers of list-nodes and read-figures, and on the operator's page at /. */
export const ListedNode = z.object({
  name: z.string(),
  ip_address: z.string().nullable(),
  created_at: Timestamp,
  last_sync_at: Timestamp.nullable(),
  applied_revision: z.int().nullable().describe("null while it serves nothing of this database."),
  status: z.enum(nodeStatuses),
  reason: z
    .string()
    .nullable()
    .describe(
      "Why it is failing, such as disk_full, or was at its last report; sending_limit_reached: some mailboxes sent too much; else null.",
    ),
  reason_count: z
    .int()
    .nullable()
    .describe(
      "The reason's number: mailboxes, domains, settings or lookups; or the line of a damaged record.",
    ),
  withheld: z
    .int()
    .nullable()
    .describe(
      "Removed mailboxes and aliases that it keeps serving until the operator accepts; null if it has not said.",
    ),
  failed_checks: z
    .array(z.enum(checkNames))
    .nullable()
    .describe("The node's own checks that are not ok; null if it has not said."),
  ended_key_used_at: Timestamp.nullable().describe(
    "When a sync key of the node was used after it ended, a sign of theft; else null.",
  ),
  hint: Words.nullable().describe("The next step, where one is needed."),
});

export const listNodes = defineTool({
  endpoint: "list-nodes",
  title: "List mail nodes",
  description: text`Lists the nodes (machines that run Postfix and Dovecot). A node serves a change when its applied_revision is at least the change's revision. While withheld is above 0 it does not serve removals. status: current; behind (catches up within a minute); stale (no contact for 5 minutes); failing (see its hint); never (not joined). If no node has joined, none serves mail: join those listed (see hint) or add one. Not shown: which domains a node is limited to.`,
  effect: "read",
  scopes: ["nodes"],
  ofAllDomains: true,
  input: z.strictObject(nodePageFields),
  output: z.object({
    nodes: z.array(ListedNode),
    revision: z.int().describe("The newest revision."),
    total: z.int().describe("On all pages."),
    next_cursor: NextCursor,
  }),
  async run({ tables, at }, input) {
    const { page, total, nextCursor } = await nodePage(tables, at, input);
    return {
      nodes: page.map(toListed),
      revision: await tables.state.revision(),
      total,
      next_cursor: nextCursor,
    };
  },
});

export function toListed({ node, condition }: JudgedNode): z.input<typeof ListedNode> {
  return {
    name: node.name,
    ip_address: node.ipAddress,
    created_at: node.createdAt,
    last_sync_at: node.lastSync?.at ?? null,
    applied_revision: condition.appliedRevision,
    status: condition.status,
    reason: condition.reason,
    reason_count: condition.reasonCount,
    withheld: condition.withheld,
    failed_checks: node.report?.failedChecks ?? null,
    ended_key_used_at: condition.endedKeyUse?.at ?? null,
    hint: condition.hint,
  };
}
