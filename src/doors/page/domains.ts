import type { Result } from "../../../tools/call/tool.ts";
import { listDomains } from "../../../tools/list-domains.ts";
import { type Html, html } from "../html/html.ts";
import { type Column, counted, moment, nextPage, number, ROWS, table } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";

type DomainRow = Result<typeof listDomains>["domains"][number];

export async function domainsPage(view: View): Promise<string> {
  const list = await view.ask(listDomains, { limit: ROWS, cursor: view.query.cursor });
  return viewDocument(
    view,
    "Domains",
    html`<h1 id="domains">Domains</h1>
<p class="quiet">${counted(list.total, "domain")}.</p>
${domainTable(list.domains)}
${nextPage(list.next_cursor)}`,
  );
}

const columns: Column<DomainRow>[] = [
  { title: "Domain", cell: ({ domain }) => html`<strong>${domain}</strong>` },
  { title: "Mailboxes", kind: "number", cell: ({ user_count }) => number(user_count) },
  { title: "Soft-deleted", kind: "number", cell: ({ inactive_user_count }) => number(inactive_user_count) },
  { title: "Added", kind: "time", cell: ({ created_at }) => moment(created_at) },
];

export function domainTable(domains: readonly DomainRow[]): Html {
  if (domains.length > 0) return table("domains", columns, domains);
  return html`<p class="quiet">No domains. At the server’s shell: <code>m25-mail domain add DOMAIN</code></p>`;
}
