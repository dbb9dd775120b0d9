import type { Scope } from "../../../tools/call/principal.ts";
import { Html, html } from "../../doors/html/html.ts";
import { alarm, documentOf, form, noPassword, passwordField } from "../../doors/html/layout.ts";

export interface Request {
  clientName: string;
  /** The host that vouches for the client's name; undefined for a client that an operator registered here. */
  clientHost: string | undefined;
  clientId: string;
  /** The place to which the person is sent back, in words. */
  target: string;
  /** True if that is on the person's own machine, where any program may answer. */
  isLocal: boolean;
  /** The mail server's own name. */
  host: string;
  scopes: readonly Scope[];
  action: string;
  csrf: string;
}

/** The person's choice, for showing the form again. */
export interface Choice {
  scopes: ReadonlySet<string>;
  access: "all" | "some" | undefined;
  domains: ReadonlySet<string>;
}

/** The choice that the form starts with: `destroy` and `nodes` need a deliberate tick. */
export const firstChoice: Choice = {
  scopes: new Set(["read", "write"]),
  access: undefined,
  domains: new Set(),
};

/** Domains beyond this number are typed, not ticked. */
const MOST_CHECKBOXES = 100;

const meanings: Record<Scope, [title: string, detail: string]> = {
  read: ["See domains and mailboxes", "Addresses, sizes and counts; never a password."],
  write: ["Add and change", "Add domains and mailboxes, set passwords, deactivate mailboxes."],
  destroy: ["Remove for good", "Remove domains, delete mailboxes for good. Cannot be undone."],
  nodes: [
    "See and register mail servers",
    "Their keys read every mailbox’s address and password hash. All domains only.",
  ],
};

/** The page before the sign-in. Strangers can see it, so it shows nothing that this server holds. */
export function signInPage(request: Request, hasPassword: boolean, error?: string): string {
  const { clientName, scopes } = request;
  return page(
    "Sign in",
    html`<h1>“${clientName}” asks to administer mail</h1>
${alarm(error)}${whoAsks(request)}
<p>It asks for: ${scopes.map((scope) => meanings[scope][0].toLowerCase()).join(", ")}. You choose in the next step.</p>
${form(
  request,
  hasPassword
    ? html`${passwordField}
<div class="actions"><button name="decision" value="sign-in">Sign in</button>${deny}</div>`
    : html`${noPassword("nobody can allow this yet")}
<div class="actions">${deny}</div>`,
)}`,
  );
}

/** @param domains all registered domains */
export function consentPage(
  request: Request,
  domains: readonly string[],
  choice: Choice,
  error?: string,
): string {
  const { clientName, scopes } = request;
  return page(
    `Allow ${clientName}?`,
    html`<h1>Allow “${clientName}” to administer mail?</h1>
${alarm(error)}${whoAsks(request)}
${form(
  request,
  html`<fieldset><legend>What it may do</legend>
${scopes.map((scope) => checkbox("scope", scope, meanings[scope], choice.scopes.has(scope)))}
</fieldset>
<fieldset><legend>For which domains</legend>
${radio("all", "All domains", "Those that are added later too.", choice.access === "all")}
${radio("some", "Only these:", undefined, choice.access === "some")}
<div class="domains">${domainChoice(domains, choice.domains)}</div>
</fieldset>
<div class="actions"><button name="decision" value="allow">Allow</button>${deny}</div>`,
)}`,
  );
}

const deny = html`<button name="decision" value="deny" formnovalidate>Deny</button>`;

function whoAsks({ clientName, clientHost, clientId, target, isLocal, host }: Request): Html {
  return html`<dl>
<dt>Who asks</dt><dd><strong>${clientName}</strong>, ${
    clientHost === undefined
      ? html`registered here as <code>${clientId}</code>`
      : html`according to <strong>${clientHost}</strong>`
  }</dd>
<dt>Goes back to</dt><dd><strong>${target}</strong></dd>
<dt>Works on</dt><dd><strong>${host}</strong></dd>
</dl>
<p>Allow this only if you have just asked for it yourself, in that program.${isLocal && " Any program on your computer can give itself that name."}</p>`;
}

/** The page after the decision. It is no redirect: a form's redirects are bound by the policy of the form's page. */
export function returnPage(url: string, target: string): string {
  return page(
    "Going back",
    html`<h1>Going back to ${target}</h1><p><a href="${url}">Go on</a> if nothing happens.</p>`,
    html`<meta http-equiv="refresh" content="0;url=${url}">`,
  );
}

export function errorPage(reason: string | Html): string {
  return page(
    "This did not work",
    html`<h1>This did not work</h1><p class="alarm">${reason}</p>
<p>Nothing was allowed. Begin again in the program that sent you here.</p>`,
  );
}

function checkbox(
  name: string,
  value: string,
  [title, detail]: readonly [title: string, detail?: string],
  checked: boolean,
): Html {
  return html`<label class="choice"><input type="checkbox" name="${name}" value="${value}"${checked && new Html(" checked")}><span>${title}${detail !== undefined && html`<small>${detail}</small>`}</span></label>
`;
}

function radio(value: string, title: string, detail: string | undefined, checked: boolean): Html {
  return html`<label class="choice"><input type="radio" name="access" value="${value}" required${checked && new Html(" checked")}><span>${title}${detail !== undefined && html`<small>${detail}</small>`}</span></label>
`;
}

function domainChoice(domains: readonly string[], chosen: ReadonlySet<string>): Html {
  if (domains.length === 0) return html`<p class="hint">No domain is registered yet.</p>`;
  if (domains.length > MOST_CHECKBOXES) {
    return html`<textarea name="domain" rows="4" aria-label="Domains, one on each line" spellcheck="false">${[...chosen].join("\n")}</textarea><span class="hint">One on each line, of the ${domains.length} that are registered.</span>`;
  }
  return html`${domains.map((name) => checkbox("domain", name, [name], chosen.has(name)))}`;
}

function page(title: string, body: Html, head?: Html): string {
  return documentOf(
    title,
    html`<main>
${body}
</main>`,
    head,
  );
}
