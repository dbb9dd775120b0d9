import type { Result } from "../../../tools/call/tool.ts";
import { listGrants } from "../../../tools/operator/oauth/grants.ts";
import { MailError } from "../../mail/error.ts";
import { type Html, html } from "../html/html.ts";
import { form } from "../html/layout.ts";
import { type Column, counted, foreign, moment, number, ROWS, table } from "./elements.ts";
import { type View, viewDocument } from "./view.ts";

/** Maximum number of a grant's domains to name. */
const NAMED_DOMAINS = 5;

type Grant = Result<typeof listGrants>["grants"][number];

export async function accessPage(view: View): Promise<string> {
  const { grants } = await view.ask(listGrants);
  return viewDocument(
    view,
    "Access",
    html`<h1 id="grants">Access</h1>
<p class="quiet">${counted(grants.length, "program")} that you allowed to sign in (OAuth). Tokens that were made at the shell: <code>m25-mail token list</code></p>
${grantTable(grants, view)}`,
  );
}

export function grantTable(grants: readonly Grant[], { root, isReadOnly }: View): Html {
  if (grants.length === 0) return html`<p class="quiet">No program has been allowed to sign in.</p>`;
  const columns: Column<Grant>[] = [
    {
      title: "Program",
      cell: ({ client, client_id }) =>
        html`<strong>${foreign(client)}</strong><small>${foreign(client_id)}</small>`,
    },
    { title: "May", cell: ({ scopes }) => scopes.join(", ") },
    { title: "Domains", cell: ({ domains }) => domainsOf(domains) },
    { title: "Allowed", kind: "time", cell: ({ granted_at }) => moment(granted_at) },
    {
      title: "Last token",
      kind: "time",
      cell: ({ refreshed_at }) => (refreshed_at === null ? "none" : moment(refreshed_at)),
    },
  ];
  if (!isReadOnly) {
    columns.push({
      title: "End it",
      cell: ({ id, client }) =>
        html`<a href="${root}page/end-grant?id=${id}" aria-label="End the access of ${foreign(client)}, ${id}">End</a>`,
    });
  }
  const rest = grants.length - ROWS;
  return html`${table("grants", columns, grants.slice(0, ROWS))}
${rest > 0 && html`<p class="quiet">And ${number(rest)} more: <code>m25-mail oauth grants list</code></p>`}`;
}

/** The question before a grant ends. @throws MailError grant_not_found */
export async function endGrantPage(view: View): Promise<string> {
  const { grants } = await view.ask(listGrants);
  const grant = grants.find(({ id }) => id === view.query.id);
  if (grant === undefined) {
    throw new MailError(
      "grant_not_found",
      "There is no such access, or it has ended.",
      "Nothing was changed.",
    );
  }
  const { id, client, scopes, domains, granted_at } = grant;
  const content = html`<input type="hidden" name="id" value="${id}">
<div class="actions"><button class="main">End the access</button><a class="button" href="${view.root}">Cancel</a></div>`;
  return viewDocument(
    view,
    "End an access",
    html`<h1>End the access of “${foreign(client)}”?</h1>
<dl>
<dt>Program</dt><dd>${foreign(grant.client_id)}</dd>
<dt>May</dt><dd>${scopes.join(", ")}</dd>
<dt>Domains</dt><dd>${domainsOf(domains)}</dd>
<dt>Allowed</dt><dd>${moment(granted_at)}</dd>
</dl>
<p>Its tokens are refused at once. This cannot be undone: the program has to ask you again.</p>
${form({ action: `${view.root}page/end-grant`, csrf: view.csrf }, content)}`,
  );
}

function domainsOf(domains: readonly string[] | null): string {
  if (domains === null) return "all";
  const rest = domains.length - NAMED_DOMAINS;
  const named = domains.slice(0, NAMED_DOMAINS).join(", ");
  return rest > 0 ? `${named} and ${counted(rest, "other")}` : named;
}
