import { hash } from "node:crypto";
import type { Scope } from "../../../tools/principal.ts";
import { Html, html } from "./html.ts";

const STYLE = `
:root { color-scheme: light dark; --line: #c8ccd2; --quiet: #565d66; --strong: #0b57a4; --alarm: #a3160f; --shade: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --line: #444b54; --quiet: #a9b1bb; --strong: #7db8f5; --alarm: #ff9d94; --shade: #23282e; }
}
* { box-sizing: border-box; }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 34rem; margin: 2rem auto; padding: 0 1.25rem 2rem; }
h1 { font-size: 1.4rem; line-height: 1.3; margin: 0 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0 0 1.25rem; padding: .8rem 1rem; background: var(--shade); border-radius: .5rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
fieldset { border: 1px solid var(--line); border-radius: .5rem; margin: 0 0 1rem; padding: .4rem 1rem .8rem; }
legend { font-weight: 600; padding: 0 .4rem; }
.choice { display: flex; gap: .6rem; align-items: baseline; padding: .25rem 0; }
.choice small, .hint { color: var(--quiet); font-size: .875rem; display: block; }
.domains { margin: .25rem 0 0 1.6rem; padding-left: .25rem; max-height: 15rem; overflow-y: auto; }
textarea, input[type=password] { margin-bottom: .25rem; width: 100%; font: inherit; padding: .5rem; border: 1px solid var(--quiet); border-radius: .35rem; }
label.field { font-weight: 600; display: block; margin-bottom: .25rem; }
.actions { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: 1.25rem; }
button { font: inherit; font-weight: 600; padding: .55rem 1.4rem; border-radius: .35rem; border: 1px solid var(--strong); background: transparent; color: var(--strong); cursor: pointer; }
button[value=allow], button[value=sign-in] { background: #0b57a4; color: #fff; }
:focus-visible { outline: 3px solid var(--strong); outline-offset: 2px; }
code { overflow-wrap: anywhere; }
.alarm { border-left: .3rem solid var(--alarm); padding: .5rem .8rem; margin: 0 0 1rem; background: var(--shade); }
a { color: var(--strong); }
`;

/** No script runs, nothing is loaded, no other page may frame this one, forms go nowhere but back here. */
export const pageHeaders = {
  "content-security-policy": `default-src 'none'; style-src 'sha256-${hash("sha256", STYLE, "base64")}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin", // no-referrer would make a form's Origin "null"
  "cache-control": "no-store",
} as const;

export interface Request {
  clientName: string;
  /** The host that vouches for the client's name, or undefined for one that an operator registered here. */
  clientHost: string | undefined;
  clientId: string;
  /** Where the person is sent back to, in words. */
  target: string;
  /** True when that is on the person's own machine, where nobody vouches for who answers. */
  isLocal: boolean;
  /** The mail server's own name. */
  host: string;
  scopes: readonly Scope[];
  action: string;
  csrf: string;
}

/** What was chosen when the form came back and has to be shown again. */
export interface Choice {
  scopes: ReadonlySet<string>;
  access: "all" | "some" | undefined;
  domains: ReadonlySet<string>;
}

/** Checked before anybody has chosen: destroying and nodes have to be wanted. */
export const firstChoice: Choice = {
  scopes: new Set(["read", "write"]),
  access: undefined,
  domains: new Set(),
};

/** More than these are typed rather than ticked. */
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

/** What whoever comes by may see: nothing of what this server holds. */
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
    ? html`<input name="username" value="operator" autocomplete="username" hidden>
<label class="field" for="password">Operator’s password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>
<div class="actions"><button name="decision" value="sign-in">Sign in</button>${deny}</div>`
    : html`<p class="alarm">No operator’s password is set, so nobody can allow this yet. At the server’s shell: <code>m25-mail operator set-password</code>. Then load this page again.</p>
<div class="actions">${deny}</div>`,
)}`,
  );
}

/** @param domains every domain there is */
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
${scopes.map((scope) => checkbox("scope", scope, ...meanings[scope], choice.scopes.has(scope)))}
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

function alarm(error: string | undefined): Html {
  return html`${error !== undefined && html`<p class="alarm" role="alert">${error}</p>`}`;
}

function form({ action, csrf }: Request, content: Html): Html {
  return html`<form method="post" action="${action}">
<input type="hidden" name="csrf" value="${csrf}">
${content}
</form>`;
}

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

/** After the decision. A page rather than a redirect: browsers hold a form's redirects to the form's own rules. */
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
  title: string,
  detail: string | undefined,
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
  return html`${domains.map((name) => checkbox("domain", name, name, undefined, chosen.has(name)))}`;
}

function page(title: string, body: Html, head?: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} – M25 Mail</title>
${head}
<style>${new Html(STYLE)}</style>
</head>
<body><main>
${body}
</main></body>
</html>
`.text;
}
