import * as z from "zod";
import { NodeName } from "../../../src/mail/schemas.ts";
import { defineTool } from "../../call/tool.ts";
import { nodePages } from "../../nodes/condition.ts";

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
        count: z.int().nullable().describe("Removed mailboxes that it keeps serving, by its last report."),
      }),
    ),
    total: z.int().describe("All nodes that withhold removals."),
  }),
  async run({ tables }, { name, limit }) {
    const nodes = [];
    for await (const page of nodePages(tables)) {
      for (const { name: own, report } of page) {
        if (report?.status !== "withheld" || (name !== undefined && name !== own)) continue;
        nodes.push({ name: own, count: report.count });
      }
    }
    return { nodes: nodes.slice(0, limit), total: nodes.length };
  },
});
