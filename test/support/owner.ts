import type { Store } from "../../db/store.ts";
import { parseAddress } from "../../src/mail/address.ts";
import { proofOf } from "../../tools/sets/people/owner/own-mailbox.ts";
import type { Browser } from "./oauth.ts";
import { field } from "./oauth.ts";

/** The proof of an owner who has just signed in; one that is none without a mailbox. */
export async function proofFor(store: Store, email: string): Promise<string> {
  const user = await store.read(({ users }) => users.find(parseAddress(email)));
  return user === undefined ? "none" : proofOf(user);
}

/** Signs an owner in, on the owner's page. */
export async function signIn(browser: Browser, email: string, password: string) {
  const { body } = await browser.get("/owner/");
  return browser.post("/owner/sign-in", [
    ["csrf", field(body, "csrf")],
    ["username", email],
    ["password", password],
  ]);
}

/** Sends a form of the page that a signed-in owner sees. */
export async function send(browser: Browser, action: string, fields: Record<string, string>) {
  const { body } = await browser.get("/owner/");
  return browser.post(`/owner/${action}`, [["csrf", field(body, "csrf")], ...Object.entries(fields)]);
}

/** Makes an app password as a signed-in owner. */
export async function makeAppPassword(browser: Browser, name: string): Promise<string> {
  const { status, body } = await send(browser, "app-password", { name });
  const password = /<code class="secret">([a-z-]+)<\/code>/.exec(body)?.[1];
  if (password === undefined) throw new Error(`the app password was answered ${status}: ${body}`);
  return password;
}
