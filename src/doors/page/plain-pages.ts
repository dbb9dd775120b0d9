import { type Html, html } from "../html/html.ts";
import { alarm, documentOf, form, noPassword, passwordField } from "../html/layout.ts";

function plainPage(title: string, content: Html): string {
  return documentOf(
    title,
    html`<main>
<h1>${title}</h1>
${content}
</main>`,
  );
}

/** The only page for strangers. @param csrf undefined while no password is set */
export function signInPage(root: string, csrf: string | undefined, error?: string): string {
  if (csrf === undefined) return plainPage("M25 Mail", noPassword("nobody can sign in here yet"));
  const fields = html`${passwordField}
<div class="actions"><button class="main">Sign in</button></div>`;
  return plainPage(
    "Sign in to M25 Mail",
    html`${alarm(error)}${form({ action: `${root}page/sign-in`, csrf }, fields)}`,
  );
}

/** Replaces the form on connections where others could read the password. */
export function unencryptedPage(): string {
  return plainPage(
    "M25 Mail",
    html`<p class="alarm">This connection is not encrypted, so the operator’s password is not asked for here.</p>
<p>Call the server by HTTPS: give it <code>--tls-cert</code> and <code>--tls-key</code>, or a proxy that has a certificate, and <code>--public-url</code> with that name. Or come by SSH, <code>ssh -L 8625:127.0.0.1:8625 SERVER</code>, and open <code>http://localhost:8625/</code>.</p>`,
  );
}

/** A failure, with a link back. */
export function failurePage(root: string, message: string, hint: Html | string): string {
  return plainPage(
    "This did not work",
    html`<p class="alarm" role="alert">${message}</p>
<p>${hint}</p>
<p><a href="${root}">Back to the overview</a></p>`,
  );
}
