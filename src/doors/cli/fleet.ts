import { show } from "./show.ts";

type Row = Record<string, unknown> & { name: string; domains: string[] | null; hint: string | null };

/** The fleet for a person: a table, and below it what is to be done about whom. */
export function showFleet(result: Record<string, unknown>): string {
  const { nodes, revision } = result as { nodes: Row[]; revision: number };
  // The domains stand last: they may be many.
  const rows = nodes.map(({ created_at, hint, domains, ...row }) => ({ ...row, domains: domains ?? "all" }));
  const hints = nodes.flatMap(({ name, hint }) => (hint === null ? [] : [`${name}: ${hint}`]));
  return [show({ nodes: rows, revision }), ...hints].join("\n");
}
