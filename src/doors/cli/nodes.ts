import { show } from "./show.ts";

interface Limits {
  domains: string[] | null;
  ip_address: string | null;
}
type Row = Record<string, unknown> & Limits & { name: string; hint: string | null };

/** Shows the nodes to a person: a table, and below it their hints. */
export function showNodes(result: Record<string, unknown>): string {
  const { nodes, ...rest } = result as { nodes: Row[] };
  // The domains come last, because they may be many. A hint tells of a used ended key, which is rare.
  const rows = nodes.map(({ created_at, hint, domains, ended_key_used_at, ended_key_used_from, ...row }) => ({
    ...row,
    ...inWords({ ...row, domains }),
  }));
  const hints = nodes.flatMap(({ name, hint }) => (hint === null ? [] : [`${name}: ${hint}`]));
  return [show({ nodes: rows, ...rest }), ...hints].join("\n");
}

/** Shows one node's limits. */
export function showNode(result: Record<string, unknown>): string {
  return show({ ...result, ...inWords(result as unknown as Limits) });
}

/** Shows a removal, with the command that restores the limits: a node that is added again gets everything without it. */
export function showRemoval({ name, set_again }: Record<string, unknown>): string {
  const removed = `${name} is removed: its sync keys have ended, and it keeps serving its last state`;
  if (set_again === null) return removed;
  return `${removed}\nThe server has forgotten its limits. To restore them, after adding it again and before it joins: ${set_again}`;
}

/** Shows an acceptance. Leaves out the empty list of nodes that have not arrived, which is usual. */
export function showAcceptance({ not_arrived, ...result }: Record<string, unknown>): string {
  const names = not_arrived as string[];
  return show(names.length === 0 ? result : { ...result, not_arrived });
}

/** Shows an absent limit as the flags of `node set` name it. */
function inWords({ domains, ip_address }: Limits) {
  return { ip_address: ip_address ?? "any", domains: domains ?? "all" };
}
