import * as z from "zod";
import { NodeName } from "../../../src/mail/schemas.ts";
import { defineTool } from "../../call/tool.ts";
import { nodePages } from "../../nodes/condition.ts";

/** Removals that nodes withhold, by their last reports. */
export const withheldFields = { users: z.int(), aliases: z.int(), domain_aliases: z.int() };

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
        ...withheldFields,
      }),
    ),
    total: z.int().describe("All nodes that withhold removals."),
  }),
  async run({ tables }, { name, limit }) {
    const nodes = [];
    for await (const page of nodePages(tables)) {
      for (const { name: own, report } of page) {
        if (!report?.withheld?.addresses) continue;
        if (name !== undefined && name !== own) continue;
        const { users, aliases, domain_aliases } = report.withheld;
        nodes.push({ name: own, users, aliases, domain_aliases });
      }
    }
    return { nodes: nodes.slice(0, limit), total: nodes.length };
  },
});
