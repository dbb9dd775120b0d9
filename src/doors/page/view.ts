import type { Result, Tool } from "../../../tools/call/tool.ts";
import { type Html, html } from "../html/html.ts";
import { documentOf, form } from "../html/layout.ts";
import type { WriteTrial } from "../write-trial.ts";
import type { PageParts, ViewName } from "./routes.ts";

/** The data and functions of a view for the signed-in operator. */
export interface View extends Pick<PageParts, "isReadOnly" | "store"> {
  name: ViewName;
  /** The relative path to `/`. A proxy may serve the server below a path. */
  root: "./" | "../";
  /** The token of its forms. */
  csrf: string;
  now: Date;
  writeTrial: WriteTrial;
  /** Query parameters that occur once. */
  query: Readonly<Record<string, string | undefined>>;
  /** The result of the last action. */
  notice: string | undefined;
  /** Runs an operation. @throws MailError its refusal */
  ask<T extends Tool>(tool: T, input?: Record<string, unknown>): Promise<Result<T>>;
}

const pages: ReadonlyArray<[name: ViewName, title: string, path: string]> = [
  ["overview", "Overview", ""],
  ["nodes", "Nodes", "page/nodes"],
  ["domains", "Domains", "page/domains"],
  ["changes", "Changes", "page/changes"],
  ["access", "Access", "page/access"],
];

/** A page of the signed-in operator. */
export function viewDocument(view: View, title: string, content: Html): string {
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
