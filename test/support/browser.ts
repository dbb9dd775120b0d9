import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, onTestFinished } from "vitest";
import { CHROMIUM } from "./needs.ts";
import { OPERATOR_PASSWORD } from "./oauth.ts";

/**
 * Runs Chromium for the tests of a `describe`.
 *
 * @returns opens a page in a browser profile of its own; `refused` lists the browser's errors
 */
export function useChromium(defaults: BrowserContextOptions) {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  });
  afterAll(() => browser.close());
  return async (options: BrowserContextOptions = {}) => {
    const context = await browser.newContext({ ...defaults, ...options });
    onTestFinished(() => context.close());
    const page = await context.newPage();
    const refused: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") refused.push(message.text());
    });
    return { page, refused };
  };
}

/** Signs the operator in with the keyboard alone: the field has the focus. */
export async function signInByKeyboard(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.locator("#password:focus").waitFor();
  await page.keyboard.type(OPERATOR_PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Sign out" }).waitFor();
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The faults that axe finds on a page, each with its elements. */
export async function violations(page: Page): Promise<unknown[]> {
  await page.evaluate(axeSource);
  const found = await page.evaluate("axe.run()");
  const { violations } = found as { violations: Array<{ id: string; nodes: Array<{ html: string }> }> };
  return violations.map(({ id, nodes }) => [id, ...nodes.map((node) => node.html)]);
}

/**
 * Opens another site's page that frames `framed` and has a form with these fields for `action`.
 *
 * @returns submits the form and returns the answer's status
 */
export async function openForeignForm(
  page: Page,
  { framed, action, fields }: { framed: string; action: string; fields: string },
): Promise<() => Promise<number>> {
  const body = `<!doctype html><iframe src="${framed}"></iframe>
    <form method="post" action="${action}">${fields}<input type="submit" value="Win a prize"></form>`;
  await page
    .context()
    .route("http://evil.example/", (route) => route.fulfill({ contentType: "text/html", body }));
  await page.goto("http://evil.example/");
  return async () => {
    const [answer] = await Promise.all([
      page.waitForResponse((response) => response.request().method() === "POST"),
      page.getByRole("button", { name: "Win a prize" }).click(),
    ]);
    return answer.status();
  };
}
