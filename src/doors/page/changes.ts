import type { Result } from "../../../tools/call/tool.ts";
import { readAudit } from "../../../tools/operator/read-audit.ts";
import { type Html, html } from "../html/html.ts";
import { type Column, foreign, moment, nextPage, ROWS, table } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";

/** Maximum length of an entry's arguments. m25-mail audit shows them whole. */
const MOST_LETTERS = 160;

type Change = Result<typeof readAudit>["entries"][number];

export async function changesPage(view: View): Promise<string> {
  const { cursor } = view.query;
  const list = await view.ask(readAudit, { newest_first: true, limit: ROWS, cursor });
  return viewDocument(
    view,
    "Changes",
    html`<h1 id="changes">Changes</h1>
<p class="quiet">The audit log, the latest first: who changed what, and who was refused. Times are UTC. All of it: <code>m25-mail audit</code></p>
${changeTable(list.entries)}
${nextPage(list.next_cursor)}`,
  );
}

const columns: Column<Change>[] = [
  { title: "When", kind: "time", cell: ({ at }) => moment(at) },
  {
    title: "By",
    cell: ({ principal, door, client, address }) =>
      html`<strong>${foreign(principal)}</strong><small>${foreign([door, client, address].filter(Boolean).join(", "))}</small>`,
  },
  {
    title: "What",
    cell: ({ tool, arguments: given }) => html`<span>${tool}</span><small>${shortened(given)}</small>`,
  },
  {
    title: "Outcome",
    cell: ({ outcome }) =>
      outcome === "done"
        ? outcome
        : html`<span class="state warn">refused</span><small>${outcome.replaceAll("_", " ")}</small>`,
  },
];

export function changeTable(entries: readonly Change[]): Html {
  if (entries.length > 0) return table("changes", columns, entries);
  return html`<p class="quiet">No changes yet.</p>`;
}

function shortened(given: Record<string, unknown>): string {
  const text = Object.entries(given)
    .map(([name, value]) => `${name}: ${Array.isArray(value) ? value.join(" ") : value}`)
    .join(", ");
  return foreign(text.length > MOST_LETTERS ? `${text.slice(0, MOST_LETTERS)}…` : text);
}
