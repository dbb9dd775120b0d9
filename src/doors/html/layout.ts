import { hash } from "node:crypto";
import type { FastifyReply } from "fastify";
import { Html, html } from "./html.ts";
import { STYLE } from "./style.ts";

/** No script runs, nothing is loaded, no site may frame the page, and forms go to this server only. */
export const pageHeaders = {
  "content-security-policy": `default-src 'none'; style-src 'sha256-${hash("sha256", STYLE, "base64")}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  "x-frame-options": "DENY",
  "x-content-type-options": "nosniff",
  "referrer-policy": "same-origin", // no-referrer would make a form's Origin "null"
  "cache-control": "no-store",
} as const;

export function sendPage(reply: FastifyReply, page: string, status = 200): FastifyReply {
  return reply.code(status).type("text/html; charset=utf-8").send(page);
}

/** A whole document around a body that has its own `main`. @param lang the language of its text */
export function documentOf(title: string, body: Html, head?: Html, lang = "en"): string {
  return html`<!doctype html>
<html lang="${lang}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} – M25 Mail</title>
${head}
<style>${new Html(STYLE)}</style>
</head>
<body>${body}</body>
</html>
`.text;
}

export function alarm(error: string | undefined): Html {
  return html`${error !== undefined && html`<p class="alarm" role="alert">${error}</p>`}`;
}

/** @param action the form's path; `csrf` is a token from forms.ts */
export function form({ action, csrf }: { action: string; csrf: string }, content: Html): Html {
  return html`<form method="post" action="${action}">
<input type="hidden" name="csrf" value="${csrf}">
${content}
</form>`;
}

/** The field for the operator's password, with a user name for password managers. */
export const passwordField = html`<input name="username" value="operator" autocomplete="username" hidden>
<label class="field" for="password">Operator’s password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required autofocus>`;

/** @param lacking the consequence, such as "nobody can sign in here yet" */
export function noPassword(lacking: string): Html {
  return html`<p class="alarm">No operator’s password is set, so ${lacking}. At the server’s shell: <code>m25-mail operator set-password</code>. Then load this page again.</p>`;
}
