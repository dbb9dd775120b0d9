import { type Html, html } from "../html/html.ts";
import { alarm, documentOf, form } from "../html/layout.ts";
import { type Language, languages } from "./words.ts";

function page(language: Language, title: string, content: Html): string {
  const body = html`<main>
<h1>${title}</h1>
${content}
</main>`;
  return documentOf(title, body, undefined, language);
}

/** A form for a link that works. `csrf` comes from csrfToken. */
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
<label class="field" for="password">${words.newPassword}</label>
<input id="password" name="password" type="password" autocomplete="new-password" minlength="8" required autofocus aria-describedby="rules">
<p class="hint" id="rules">${words.rules}</p>
<label class="field" for="again">${words.again}</label>
<input id="again" name="again" type="password" autocomplete="new-password" required>
<div class="actions"><button class="main">${words.save}</button></div>`;
  return page(
    language,
    kind === "first" ? words.firstTitle : words.resetTitle,
    html`<dl><dt>${words.forMailbox}</dt><dd><strong>${email}</strong></dd></dl>
<p>${words.explanation}</p>
${alarm(error)}${form({ action: token, csrf }, fields)}`,
  );
}

export function donePage(language: Language): string {
  const { doneTitle, done } = languages[language];
  return page(language, doneTitle, html`<p class="notice" role="status">${done}</p>`);
}

export function deadPage(language: Language): string {
  const { deadTitle, dead } = languages[language];
  return page(language, deadTitle, html`<p class="alarm" role="alert">${dead}</p>`);
}

export function failedPage(language: Language, reason: string): string {
  return page(language, languages[language].failedTitle, html`<p class="alarm" role="alert">${reason}</p>`);
}
