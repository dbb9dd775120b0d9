import { type Html, html } from "../html/html.ts";
import { alarm, documentOf, form } from "../html/layout.ts";
import { type Language, languages } from "./words.ts";

export function page(language: Language, title: string, content: Html): string {
  const body = html`<main>
<h1>${title}</h1>
${content}
</main>`;
  return documentOf(title, body, undefined, language);
}

/** A form for a link that works. `csrf` is a token from forms.ts. */
export interface LinkForm {
  language: Language;
  kind: "first" | "reset";
  email: string;
  token: string;
  csrf: string;
}

/** The form of a link. @param error why the last attempt was refused */
export function linkPage({ language, kind, email, token, csrf }: LinkForm, error?: string): string {
  const words = languages[language];
  const fields = html`<input name="username" value="${email}" autocomplete="username" hidden>
${passwordFields(language, { autofocus: true })}`;
  return page(
    language,
    kind === "first" ? words.firstTitle : words.resetTitle,
    html`<dl><dt>${words.forMailbox}</dt><dd><strong>${email}</strong></dd></dl>
<p>${words.explanation}</p>
${alarm(error)}${form({ action: token, csrf }, fields)}`,
  );
}

/** The fields for a new password, and their button. */
export function passwordFields(language: Language, { autofocus = false } = {}): Html {
  const { newPassword, rules, again, save } = languages[language];
  return html`<label class="field" for="password">${newPassword}</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="8" required ${autofocus && "autofocus"} aria-describedby="rules">
<p class="hint" id="rules">${rules}</p>
<label class="field" for="again">${again}</label>
<input id="again" name="again" type="password" autocomplete="new-password" required>
<div class="actions"><button class="main">${save}</button></div>`;
}

/** @param done what has changed */
export function donePage(language: Language, done: string): string {
  const { doneTitle } = languages[language];
  return page(language, doneTitle, html`<p class="notice" role="status">${done}</p>`);
}

export function deadPage(language: Language): string {
  const { deadTitle, dead } = languages[language];
  return page(language, deadTitle, html`<p class="alarm" role="alert">${dead}</p>`);
}

/** For a link to a server without the set `people`. */
export function closedPage(language: Language): string {
  const { deadTitle, closed } = languages[language];
  return page(language, deadTitle, html`<p class="alarm" role="alert">${closed}</p>`);
}

export function failedPage(language: Language, reason: string): string {
  return page(language, languages[language].failedTitle, html`<p class="alarm" role="alert">${reason}</p>`);
}
