import * as z from "zod";
import { NextCursor, Timestamp, Words } from "../../call/fields.ts";
import { defineTool } from "../../call/tool.ts";
import { nodeStatuses } from "../../nodes/condition.ts";
import { nodePage, nodePageFields } from "../../nodes/page.ts";

/**
 * Adds to list-nodes, for the shell: role, domains, behind_by, behind_since, version, dovecot, host, last_address and
 * ended_key_used_from.
 */
export const listNodeDetails = defineTool({
  endpoint: "list-node-details",
  title: "List nodes with their lag",
  description: "Lists the nodes with their role, domains, program version and lag.",
  effect: "read",
  scopes: ["nodes"],
  input: z.strictObject(nodePageFields),
  output: z.object({
    nodes: z.array(
      z.object({
        name: z.string(),
        role: z.enum(["mail", "mx"]),
        domains: z.array(z.string()).nullable().describe("null for all."),
        ip_address: z.string().nullable(),
        status: z.enum(nodeStatuses),
        reason: z.string().nullable(),
        reason_count: z.int().nullable(),
        withheld: z.int().nullable(),
        applied_revision: z.int().nullable(),
        behind_by: z
          .int()
          .nullable()
          .describe("In revisions; null where the node serves nothing of this history."),
        behind_since: Timestamp.nullable().describe("When the first change that it lacks was made."),
        version: z.string().nullable().describe("Of its program."),
        dovecot: z.string().nullable().describe("Its Dovecot, such as 2.3; null if it has not told."),
        host: z.string().nullable().describe("Postfix's myhostname, as the node reported it."),
        last_sync_at: Timestamp.nullable(),
        last_address: z.string().nullable().describe("From where it called then."),
        ended_key_used_at: Timestamp.nullable(),
        ended_key_used_from: z.string().nullable(),
        created_at: Timestamp,
        hint: Words.nullable(),
      }),
    ),
    revision: z.int(),
    total: z.int(),
    next_cursor: NextCursor,
  }),
  async run({ tables, at }, input) {
    const { page, total, nextCursor } = await nodePage(tables, at, input);
    const revision = await tables.state.revision();
    const nodes = [];
    for (const { node, condition } of page) {
      const applied = condition.appliedRevision;
      nodes.push({
        name: node.name,
        role: node.view.role,
        domains: node.view.domains && [...node.view.domains],
        ip_address: node.ipAddress,
        status: condition.status,
        reason: condition.reason,
        reason_count: condition.reasonCount,
        withheld: condition.withheld,
        applied_revision: applied,
        behind_by: applied === null ? null : Math.max(0, revision - applied),
        behind_since: (applied === null ? undefined : await tables.state.changedAfter(applied)) ?? null,
        version: node.report?.version ?? null,
        dovecot: node.report?.dovecot ?? null,
        host: node.report?.host ?? null,
        last_sync_at: node.lastSync?.at ?? null,
        last_address: node.lastSync?.address ?? null,
        ended_key_used_at: condition.endedKeyUse?.at ?? null,
        ended_key_used_from: condition.endedKeyUse?.address ?? null,
        created_at: node.createdAt,
        hint: condition.hint,
      });
    }
    return { nodes, revision, total, next_cursor: nextCursor };
  },
});
