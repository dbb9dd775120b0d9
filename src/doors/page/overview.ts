import { listDomains } from "../../../tools/list-domains.ts";
import { listNodes } from "../../../tools/list-nodes.ts";
import { listWithheld } from "../../../tools/operator/nodes/list-withheld.ts";
import { listGrants } from "../../../tools/operator/oauth/grants.ts";
import { readAudit } from "../../../tools/operator/read-audit.ts";
import { type Figures, readFigures } from "../../../tools/operator/read-figures.ts";
import { type Html, html } from "../html/html.ts";
import { grantTable } from "./access.ts";
import { changeTable } from "./changes.ts";
import { domainTable } from "./domains.ts";
import { bytes, counted, FIRST_ROWS, number, ROWS, section } from "./elements.ts";
import { forwardList, waitingForwards } from "./forwards.ts";
import { nodeTable } from "./nodes.ts";
import { type View, viewDocument } from "./view.ts";
import { withheldList } from "./withheld.ts";
import { onThePage } from "./wording.ts";

export async function overviewPage(view: View): Promise<string> {
  const [figures, withheld, forwards, firstNodes, domains, changes, { grants }, database] = await Promise.all(
    [
      view.ask(readFigures, { failing: ROWS }),
      view.ask(listWithheld, { limit: ROWS }),
      waitingForwards(view),
      view.ask(listNodes, { limit: ROWS }),
      view.ask(listDomains, { limit: FIRST_ROWS }),
      view.ask(readAudit, { newest_first: true, limit: FIRST_ROWS }),
      view.ask(listGrants),
      databaseSection(view),
    ],
  );
  // All nodes if they fit, else the failing ones.
  const nodes =
    firstNodes.next_cursor === null
      ? { title: "Nodes", content: nodeTable(firstNodes.nodes, view.now) }
      : { title: "Nodes that fail", content: nodeTable(figures.failing, view.now) };
  const all = (page: string, text: string) => html`<a href="page/${page}">${text}</a>`;
  return viewDocument(
    view,
    "Overview",
    html`<h1>${verdict(figures)}</h1>
${waitingSection(withheldList(withheld, view), forwardList(forwards, view))}${figureList(figures)}
${section("nodes", nodes.title, nodes.content, all("nodes", "All nodes"))}
${section("domains", "Domains", domainTable(domains.domains), all("domains", domains.total > 1 ? `All ${counted(domains.total, "domain")}` : "All domains"))}
${section("changes", "Last changes (UTC)", changeTable(changes.entries), all("changes", "All changes"))}
${section("grants", "Programs that may sign in", grantTable(grants, view))}
${database}`,
  );
}

/** Decisions that wait for the operator; empty if none does. */
function waitingSection(...lists: readonly Html[]): Html {
  if (lists.every(({ text }) => text === "")) return html``;
  return html`<section class="waiting" aria-labelledby="waiting">
<h2 id="waiting">Waits for you</h2>
${lists}</section>
`;
}

function verdict(figures: Figures): string {
  const count = (...statuses: string[]) =>
    figures.nodes.reduce((sum, { status, count }) => sum + (statuses.includes(status) ? count : 0), 0);
  const bad = count("failing", "stale");
  const late = count("behind");
  const never = count("never");
  const total = bad + late + never + count("current");
  const among = (some: number, one: string, more: string) =>
    total === 1 ? `The node ${one}` : `${number(some)} of ${number(total)} nodes ${some === 1 ? one : more}`;
  if (total === 0) return "No node serves this mail yet";
  if (bad > 0) return among(bad, "needs attention", "need attention");
  if (late > 0) return among(late, "has not caught up yet", "have not caught up yet");
  if (never > 0) return among(never, "has not joined yet", "have not joined yet");
  return total === 1
    ? "The node serves the newest state"
    : `All ${number(total)} nodes serve the newest state`;
}

function figureList({ domains, active_users, inactive_users, nodes, revision }: Figures): Html {
  const figures: Array<[string, number]> = [
    ["Domains", domains],
    ["Mailboxes", active_users],
    ["Soft-deleted", inactive_users],
    ["Nodes", nodes.reduce((sum, { count }) => sum + count, 0)],
    ["Revision", revision],
  ];
  return html`<dl class="figures">${figures.map(([name, value]) => html`<div><dt>${name}</dt><dd>${number(value)}</dd></div>`)}</dl>`;
}

async function databaseSection({ store, writeTrial }: View): Promise<Html> {
  const { database, wal } = (await store.figures()).bytes;
  const failure = await writeTrial.outcome();
  const writes =
    failure === undefined
      ? html`<span class="state good">yes</span>`
      : html`<span class="state bad">no</span> ${onThePage(failure.detail)} ${onThePage(failure.hint)}`;
  return section(
    "database",
    "Database",
    html`<dl>
<dt>Takes changes</dt><dd>${writes}</dd>
<dt>Size</dt><dd>${bytes(database)}${wal === undefined ? "" : `, and ${bytes(wal)} of its write-ahead log`}</dd>
<dt>Schema</dt><dd>version ${store.schema}</dd>
</dl>`,
  );
}
