import type { Tool } from "../../../tools/tool.ts";
import { type Html, html } from "../html/html.ts";
import { documentOf, form } from "../html/layout.ts";
import type { PageParts, ViewName } from "./routes.ts";

/** What a view of the signed-in operator has at hand. */
export interface View extends Pick<PageParts, "isReadOnly" | "store" | "metrics"> {
  name: ViewName;
  /** The way to `/` from here. A proxy may have put the server below a path of its own. */
  root: "./" | "../";
  /** For its forms. */
  csrf: string;
  now: Date;
  /** What stands in the address, as far as it stands there once. */
  query: Readonly<Record<string, string | undefined>>;
  /** What the last action did. */
  notice: string | undefined;
  /** Runs an operation. @throws MailError its refusal */
  ask<Result>(tool: Tool, input?: Record<string, unknown>): Promise<Result>;
}

const pages: ReadonlyArray<[name: ViewName, title: string, path: string]> = [
  ["overview", "Overview", ""],
  ["nodes", "Nodes", "page/nodes"],
  ["domains", "Domains", "page/domains"],
  ["changes", "Changes", "page/changes"],
  ["access", "Access", "page/access"],
];

/** A page of the signed-in operator. */
export function operatorPage(view: View, title: string, content: Html): string {
  const { root, name, csrf, notice } = view;
  const links = pages.map(
    ([page, label, path]) =>
      html`<a href="${root}${path}"${page === name && html` aria-current="page"`}>${label}</a>
`,
  );
  const signOut = html`<button class="small">Sign out</button>`;
  return documentOf(
    title,
    html`<a class="skip" href="#content">Skip to the content</a>
<header class="bar"><div><a class="brand" href="${root}">M25 Mail</a>
<nav aria-label="Pages">${links}</nav>
${form({ action: `${root}page/sign-out`, csrf }, signOut)}</div></header>
<main id="content" class="wide">
${notice !== undefined && html`<p class="notice" role="status">${notice}</p>`}
${content}
</main>`,
  );
}
