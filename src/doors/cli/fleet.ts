import { show } from "./show.ts";

interface Limits {
  domains: string[] | null;
  ip_address: string | null;
}
type Row = Record<string, unknown> & Limits & { name: string; hint: string | null };

/** The fleet for a person: a table, and below it what is to be done about whom. */
export function showFleet(result: Record<string, unknown>): string {
  const { nodes, ...rest } = result as { nodes: Row[] };
  // The domains stand last: they may be many. A hint tells of ended keys, which are rarely used.
  const rows = nodes.map(({ created_at, hint, domains, ended_key_used_at, ended_key_used_from, ...row }) => ({
    ...row,
    ...inWords({ ...row, domains }),
  }));
  const hints = nodes.flatMap(({ name, hint }) => (hint === null ? [] : [`${name}: ${hint}`]));
  return [show({ nodes: rows, ...rest }), ...hints].join("\n");
}

/** All that holds for one node now. */
export function showNode(result: Record<string, unknown>): string {
  return show({ ...result, ...inWords(result as unknown as Limits) });
}

/** With what is easily forgotten: a node that is added anew gets everything until it is limited. */
export function showRemoval({ name, set_again }: Record<string, unknown>): string {
  const removed = `${name} is removed: its sync keys are ended, and it keeps serving what it has`;
  if (set_again === null) return removed;
  return `${removed}\nIts limits are forgotten. If it is added anew, before it joins: ${set_again}`;
}

/** Mostly all nodes have arrived, and then there is nothing to tell of it. */
export function showAcceptance({ not_arrived, ...result }: Record<string, unknown>): string {
  const names = not_arrived as string[];
  return show(names.length === 0 ? result : { ...result, not_arrived });
}

/** As the flags of `node set` call what is not limited. */
function inWords({ domains, ip_address }: Limits) {
  return { ip_address: ip_address ?? "any", domains: domains ?? "all" };
}
