import * as z from "zod";
import { defineTool, type Result } from "../call/tool.ts";
import { ListedNode, toListed } from "../list-nodes.ts";
import { allConditions, type JudgedNode, nodeStatuses } from "../nodes/condition.ts";
import { withheldFields } from "./nodes/list-withheld.ts";

/** How many revisions a node is behind, in steps: few enough for a label of a metric. */
const lags = ["0", "1-9", "10-99", "100+", "unknown"] as const;

/**
 * Counts for monitoring, without any name, and for the operator's page also the first failing nodes: each node is judged once.
 * It is in no list of tools.
 */
export const readFigures = defineTool({
  endpoint: "read-figures",
  title: "Read the figures of the whole server",
  description: "Counts domains, mailboxes and nodes.",
  effect: "read",
  ofAllDomains: true,
  input: z.strictObject({ failing: z.int().min(0).max(1000).default(0) }),
  output: z.object({
    revision: z.int(),
    domains: z.int(),
    active_users: z.int(),
    inactive_users: z.int(),
    nodes: z.array(z.object({ status: z.enum(nodeStatuses), lag: z.enum(lags), count: z.int() })),
    failing: z.array(ListedNode).describe("The first by name, as many as asked for."),
    max_lag: z.int().describe("Of the nodes whose revision is known."),
    withheld: z.object(withheldFields).describe("Of all nodes together."),
  }),
  async run({ tables, at }, { failing: most }) {
    const revision = await tables.state.revision();
    const totals = await tables.domains.totals();
    const counts = new Map<string, number>();
    let maxLag = 0;
    const withheld = { users: 0, aliases: 0, domain_aliases: 0 };
    const failing: JudgedNode[] = [];
    for await (const judged of allConditions(tables, at)) {
      const { status, appliedRevision } = judged.condition;
      if (status === "failing" && failing.length < most) failing.push(judged);
      const lag = appliedRevision === null ? undefined : Math.max(0, revision - appliedRevision);
      const kind = `${status} ${stepOf(lag)}`;
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
      maxLag = Math.max(maxLag, lag ?? 0);
      for (const kind of Object.keys(withheld) as Array<keyof typeof withheld>) {
        withheld[kind] += judged.node.report?.withheld?.[kind] ?? 0;
      }
    }
    const nodes = nodeStatuses.flatMap((status) =>
      lags.map((lag) => ({ status, lag, count: counts.get(`${status} ${lag}`) ?? 0 })),
    );
    return {
      revision,
      domains: totals.domains,
      active_users: totals.users,
      inactive_users: totals.inactiveUsers,
      nodes,
      failing: failing.map(toListed),
      max_lag: maxLag,
      withheld,
    };
  },
});

export type Figures = Result<typeof readFigures>;

function stepOf(lag: number | undefined): (typeof lags)[number] {
  if (lag === undefined) return "unknown";
  if (lag === 0) return "0";
  if (lag < 10) return "1-9";
  return lag < 100 ? "10-99" : "100+";
}
