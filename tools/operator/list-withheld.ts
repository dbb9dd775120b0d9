import * as z from "zod";
import { NodeName } from "../../src/mail/schemas.ts";
import { allConditions } from "../node-condition.ts";
import { defineTool } from "../tool.ts";

export const listWithheld = defineTool({
  endpoint: "list-withheld",
  title: "List withheld removals",
  description: "Lists the nodes that withhold removals, in order of their names.",
  effect: "read",
  scope: () => "nodes",
  ofAllDomains: true,
  input: z.strictObject({
    name: NodeName.optional().describe("Only this node."),
    limit: z.int().min(1).max(1000).default(100),
  }),
  output: z.object({
    nodes: z.array(
      z.object({
        name: z.string(),
        count: z.int().nullable().describe("Removed mailboxes that it keeps serving, as it said last."),
      }),
    ),
    total: z.int().describe("All nodes that withhold removals."),
  }),
  async run({ tables, at }, { name, limit }) {
    const nodes = [];
    let total = 0;
    for await (const { node } of allConditions(tables, at)) {
      const { report } = node;
      if (report?.status !== "withheld" || (name !== undefined && name !== node.name)) continue;
      total += 1;
      if (nodes.length < limit) nodes.push({ name: node.name, count: report.count });
    }
    return { nodes, total };
  },
});
