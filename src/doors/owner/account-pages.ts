import type { OwnMailbox } from "../../../tools/sets/people/owner/own-mailbox.ts";
import { MOST_APP_PASSWORDS } from "../../mail/app-password.ts";
import { type Html, html } from "../html/html.ts";
import { alarm, form } from "../html/layout.ts";
import { page, passwordFields } from "./pages.ts";
import { type Language, languages } from "./words.ts";

/** @param csrf a token from forms.ts */
export function signInPage(language: Language, csrf: string, error?: string): string {
  const words = languages[language];
  const fields = html`<label class="field" for="username">${words.address}</label>
<input id="username" name="username" type="email" autocomplete="username" required autofocus>
<label class="field" for="password">${words.presentPassword}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<div class="actions"><button class="main">${words.signIn}</button></div>
<p class="hint">${words.signInHint}</p>`;
  return page(language, words.signInTitle, html`${alarm(error)}${form({ action: "sign-in", csrf }, fields)}`);
}

/** The content of a signed-in owner's page. */
export interface Account {
  language: Language;
  csrf: string;
  email: string;
  appPasswords: OwnMailbox["appPasswords"];
  /** The result of the last action. */
  notice: string | undefined;
  /** Why the last action was refused. */
  error: string | undefined;
}

export function accountPage(account: Account): string {
  const { language, csrf, email, notice, error } = account;
  const words = languages[language];
  const change = html`<input name="username" value="${email}" autocomplete="username" hidden>
<label class="field" for="present">${words.presentPassword}</label>
<input id="present" name="present" type="password" autocomplete="current-password" required>
${passwordFields(language)}`;
  return page(
    language,
    words.accountTitle,
    html`<dl><dt>${words.forMailbox}</dt><dd><strong>${email}</strong></dd></dl>
${notice !== undefined && html`<p class="notice" role="status">${notice}</p>`}${alarm(error)}
<section aria-labelledby="apps"><h2 id="apps">${words.appPasswords}</h2>
<p>${words.appPasswordsHint}</p>
${appPasswordList(account)}
${newAppPasswordForm(account)}</section>
<section aria-labelledby="change"><h2 id="change">${words.changeTitle}</h2>
<p>${words.changeHint}</p>
${form({ action: "password", csrf }, change)}</section>
<section>${form({ action: "sign-out", csrf }, html`<button>${words.signOut}</button>`)}</section>`,
  );
}

function appPasswordList({ language, csrf, appPasswords }: Account): Html {
  const words = languages[language];
  if (appPasswords.length === 0) return html`<p class="quiet">${words.noAppPasswords}</p>`;
  const date = new Intl.DateTimeFormat(language, { dateStyle: "long", timeZone: "UTC" });
  const rows = appPasswords
    .toSorted((one, other) => (one.createdAt < other.createdAt ? -1 : 1))
    .map(({ name, createdAt }) => {
      const button = html`<input type="hidden" name="name" value="${name}">
<button class="small" aria-label="${words.end}: ${name}">${words.end}</button>`;
      return html`<li><span><strong>${name}</strong> <small class="quiet">${words.madeOn} ${date.format(new Date(createdAt))}</small></span>
${form({ action: "end-app-password", csrf }, button)}</li>
`;
    });
  return html`<ul class="rows">${rows}</ul>`;
}

function newAppPasswordForm({ language, csrf, appPasswords }: Account): Html {
  const words = languages[language];
  if (appPasswords.length >= MOST_APP_PASSWORDS) return html`<p class="quiet">${words.mostAppPasswords}</p>`;
  const fields = html`<label class="field" for="name">${words.appName}</label>
<input id="name" name="name" type="text" maxlength="64" autocomplete="off" required aria-describedby="name-hint">
<p class="hint" id="name-hint">${words.appNameHint}</p>
<div class="actions"><button class="main">${words.make}</button></div>`;
  return form({ action: "app-password", csrf }, fields);
}

/** Shows an app password, once. */
export function newAppPasswordPage(
  language: Language,
  { email, name, password }: { email: string; name: string; password: string },
): string {
  const words = languages[language];
  return page(
    language,
    words.newAppTitle,
    html`<p>${words.newAppHint}</p>
<dl><dt>${words.appName}</dt><dd>${name}</dd>
<dt>${words.userName}</dt><dd><strong>${email}</strong></dd>
<dt>${words.appPassword}</dt><dd><code class="secret">${password}</code></dd></dl>
<p class="actions"><a class="button" href="./">${words.back}</a></p>`,
  );
}
