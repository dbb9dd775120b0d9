import * as z from "zod";
import { decodeCursor, encodeCursor, NextCursor, pageFields, Timestamp } from "./fields.ts";
import { allConditions, conditionsOf, type JudgedNode, nodeStatuses } from "./node-condition.ts";
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
  input: z.strictObject({
    status: z
      .enum(nodeStatuses)
      .optional()
      .describe("Only nodes with this status, e.g. failing. Leave out for all nodes."),
    ...pageFields,
  }),
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
        hint: z.string().nullable().describe("What to do about it; null when nothing is to be done."),
      }),
    ),
    revision: z.int().describe("The revision that nodes should have applied by now."),
    total: z.int().describe("All nodes that this list has, on every page."),
    next_cursor: NextCursor,
  }),
  async run({ tables, at }, { status, limit, cursor }) {
    const [after = ""] = cursor === undefined ? [] : decodeCursor(cursor, 1);
    const { found, total } =
      status === undefined
        ? {
            found: await conditionsOf(tables, at, await tables.nodes.page(limit + 1, after)),
            total: await tables.nodes.count(),
          }
        : await withStatus(status, allConditions(tables, at), { after, most: limit + 1 });
    const page = found.slice(0, limit);
    const last = found.length > limit ? page.at(-1) : undefined;
    const nodes = page.map(({ node, condition }) => ({
      name: node.name,
      ip_address: node.ipAddress,
      created_at: node.createdAt,
      last_sync_at: node.lastSyncAt,
      applied_revision: condition.appliedRevision,
      status: condition.status,
      reason: condition.reason,
      reason_count: condition.reasonCount,
      hint: condition.hint,
    }));
    return {
      nodes,
      revision: await tables.state.revision(),
      total,
      next_cursor: last === undefined ? null : encodeCursor([last.node.name]),
    };
  },
});

/** The first nodes with the status that come after a name, and how many have it at all. */
async function withStatus(
  status: (typeof nodeStatuses)[number],
  all: AsyncIterable<JudgedNode>,
  { after, most }: { after: string; most: number },
) {
  const found: JudgedNode[] = [];
  let total = 0;
  for await (const judged of all) {
    if (judged.condition.status !== status) continue;
    total += 1;
    if (judged.node.name > after && found.length < most) found.push(judged);
  }
  return { found, total };
}
