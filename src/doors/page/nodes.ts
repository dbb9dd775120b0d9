import type { Result } from "../../../tools/call/tool.ts";
import { listNodes } from "../../../tools/list-nodes.ts";
import { nodeStatuses } from "../../../tools/nodes/condition.ts";
import { type Html, html } from "../html/html.ts";
import { ago, type Column, counted, nextPage, number, ROWS, table } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";
import { onThePage } from "./wording.ts";

type NodeRow = Result<typeof listNodes>["nodes"][number];

const looks: Record<NodeRow["status"], "good" | "warn" | "bad" | ""> = {
  current: "good",
  behind: "warn",
  never: "",
  stale: "bad",
  failing: "bad",
};

export async function nodesPage(view: View): Promise<string> {
  const { status, cursor } = view.query;
  const list = await view.ask(listNodes, { limit: ROWS, status, cursor });
  const filters = [undefined, ...nodeStatuses].map((each) => {
    const isShown = each === status && html` aria-current="true"`;
    return html`<a href="${each === undefined ? "nodes" : `?status=${each}`}"${isShown}>${each ?? "all"}</a> `;
  });
  return viewDocument(
    view,
    "Nodes",
    html`<h1 id="nodes">Nodes</h1>
<p class="quiet">${counted(list.total, "node")}${status !== undefined && ` with the status ${status}`}. The state is at revision ${number(list.revision)}.</p>
<p>Show: ${filters}</p>
${nodeTable(list.nodes, view.now)}
${nextPage(list.next_cursor, status === undefined ? {} : { status })}`,
  );
}

/** A table with the worst nodes first. */
export function nodeTable(nodes: readonly NodeRow[], now: Date): Html {
  if (nodes.length === 0) return html`<p class="quiet">No nodes.</p>`;
  const rank = ({ status }: NodeRow) => -nodeStatuses.indexOf(status) + (status === "current" ? 10 : 0);
  const columns: Column<NodeRow>[] = [
    {
      title: "Node",
      cell: ({ name, ip_address }) => html`<strong>${name}</strong><small>${ip_address ?? ""}</small>`,
    },
    {
      title: "Status",
      cell: ({ status, ...row }) =>
        html`<span class="state ${looks[status]}">${status}</span><small>${reasonOf(row)}</small>`,
    },
    {
      title: "Last contact",
      kind: "time",
      cell: ({ last_sync_at }) => (last_sync_at === null ? "never" : ago(last_sync_at, now)),
    },
    {
      title: "Revision",
      kind: "number",
      cell: ({ applied_revision }) => (applied_revision === null ? "–" : number(applied_revision)),
    },
    {
      title: "What to do",
      cell: ({ hint }) => (hint === null ? "–" : html`<span class="advice">${onThePage(hint)}</span>`),
    },
  ];
  return table(
    "nodes",
    columns,
    nodes.toSorted((one, other) => rank(one) - rank(other)),
  );
}

function reasonOf({ reason, reason_count, failed_checks }: Omit<NodeRow, "status">): string {
  const words = reason?.replaceAll("_", " ");
  const why = words === undefined || reason_count === null ? words : `${words} (${number(reason_count)})`;
  const failed = (failed_checks ?? []).map((name) => name.replaceAll("_", " "));
  const checks = failed.length === 0 ? undefined : `check: ${failed.join(", ")}`;
  return [why, checks].filter((part) => part !== undefined).join("; ");
}
