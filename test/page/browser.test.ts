import { existsSync } from "node:fs";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { openForeignForm, signInByKeyboard, useChromium } from "../support/browser.ts";
import { CHROMIUM } from "../support/needs.ts";
import {
  CLAUDE,
  claudeFlow,
  documents,
  mcpStatus,
  OPERATOR_PASSWORD,
  startOAuthServer,
  tokensFor,
} from "../support/oauth.ts";
import { addNode, fill, startPageServer, withheld } from "../support/page.ts";
import { SyncingNode } from "../support/syncing-node.ts";

describe.skipIf(!existsSync(CHROMIUM))("in Chromium (skipped where it is not installed)", () => {
  const newPage = useChromium({ viewport: { width: 1100, height: 700 } });

  /** Moves the focus with the tab key to the element with this name. */
  async function tabTo(page: Page, name: string): Promise<void> {
    for (let presses = 0; presses < 60; presses += 1) {
      await page.keyboard.press("Tab");
      const focused = page.locator(":focus");
      if (((await focused.getAttribute("aria-label")) ?? (await focused.innerText())).startsWith(name))
        return;
    }
    throw new Error(`the tab key never reached ${name}`);
  }

  test("an operator without scripts sees nodes, domains, changes and the database, and signs out", async () => {
    const server = await startPageServer();
    await fill(server);
    const { page, refused } = await newPage({ javaScriptEnabled: false });
    await page.goto(server.url);
    expect(await page.content()).not.toContain("shop.example");
    await page.getByLabel("Operator’s password").fill("not this one");
    await page.getByRole("button", { name: "Sign in" }).click();
    expect(await page.getByRole("alert").innerText()).toBe("That is not the operator’s password.");
    await page.getByLabel("Operator’s password").fill(OPERATOR_PASSWORD);
    await page.getByRole("button", { name: "Sign in" }).click();
    expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe("2 of 4 nodes need attention");
    const row = (name: RegExp) => page.getByRole("row", { name }).innerText();
    expect(await row(/^pi-utrecht failing removals withheld \(120\)/)).toContain(
      "m25-mail node accept pi-utrecht",
    );
    expect(await row(/^pi-amsterdam current/)).toContain("less than a minute ago");
    expect(await row(/^pi-zwolle stale/)).toMatch(/3 hours ago.*m25-mail-node status/s);
    expect(await row(/^bakery\.example/)).toMatch(/bakery\.example\s+2\s+1/);
    expect(await row(/remove-user/)).toContain("email: person3@bakery.example");
    expect(await page.getByRole("region", { name: "Database" }).innerText()).toMatch(/Takes changes\s+yes/);
    for (const name of ["Nodes", "Domains", "Changes", "Access"]) {
      await page.getByRole("navigation").getByRole("link", { name }).click();
      expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe(name);
    }
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to M25 Mail" }).waitFor();
    await page.goBack();
    expect(await page.content()).not.toContain("shop.example");
    expect(refused.filter((text) => !text.includes("403"))).toEqual([]);
  });

  test("withheld removals are accepted by keyboard alone, after a question, and the node gets the acceptance", async () => {
    const server = await startPageServer();
    const key = await addNode(server, "pi", withheld(120));
    const { page } = await newPage();
    await signInByKeyboard(page, server.url);
    const node = new SyncingNode(server.url, key);
    const told = async () => (await node.poll()).headers.get("m25-accept-removals");
    await tabTo(page, "Let them go: removals on pi");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Remove 120 mailboxes from pi?" }).waitFor();
    await tabTo(page, "Cancel");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Waits for you" }).waitFor();
    expect(await told()).toBeNull();
    await tabTo(page, "Let them go: removals on pi");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Remove 120 mailboxes from pi?" }).waitFor();
    await tabTo(page, "Remove 120 mailboxes");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("status").innerText()).toMatch(/^pi may remove 120 mailboxes\./);
    expect(await told()).toMatch(/^\d+;n=1$/);
    await page.reload();
    expect(await page.getByRole("status").count()).toBe(0);
  });

  test("a target outside is decided by keyboard alone, and its names never become markup", async () => {
    const server = await startPageServer();
    await fill(server);
    const { page, refused } = await newPage({ javaScriptEnabled: false });
    await signInByKeyboard(page, server.url);
    await tabTo(page, "Decide: mail for info@shop.example to boss@partner.example");
    await page.keyboard.press("Enter");
    await page
      .getByRole("heading", { name: "Let mail for info@shop.example go to boss@partner.example?" })
      .waitFor();
    await tabTo(page, "Refuse");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("status").innerText()).toBe(
      "boss@partner.example is taken out of info@shop.example, and gets none of its mail.",
    );
    await tabTo(page, "Decide: mail for person1@shop.example to me@home.example");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("main").innerText()).toMatch(/Also mail for\s+info@shop\.example/);
    await tabTo(page, "Approve");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("status").innerText()).toMatch(/^Mail for person1@shop.example now goes to/);
    await page.goto(`${server.url}/page/forward?alias=<img src=x>&target=<script>alert(1)</script>`);
    expect(await page.locator("img, script").count()).toBe(0);
    expect(refused.filter((text) => !/40[04]/.test(text))).toEqual([]);
  });

  test("a program's access ends after a question, and the program is refused at once", async () => {
    const server = await startOAuthServer();
    const { access_token } = await tokensFor(server);
    const { page } = await newPage();
    await signInByKeyboard(page, server.url);
    await page.getByRole("link", { name: /^End the access of Claude/ }).click();
    expect(await page.getByRole("heading", { level: 1 }).innerText()).toBe("End the access of “Claude”?");
    expect(await mcpStatus(server, access_token)).toBe(200);
    await page.getByRole("button", { name: "End the access" }).click();
    expect(await page.getByRole("status").innerText()).toBe("The access of “Claude” has ended.");
    expect(await mcpStatus(server, access_token)).toBe(401);
  });

  test("foreign names never become markup: programs' names, and names in refused calls", async () => {
    const server = await startOAuthServer();
    const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`;
    server.standIn.serves[CLAUDE] = { ...documents[CLAUDE], client_name: evil };
    await tokensFor(server, claudeFlow);
    await server.api("add-user", { email: `"<img src=x>"@example.nl`, password: "correct horse battery" });
    const { page, refused } = await newPage();
    page.on("dialog", () => refused.push("a dialog"));
    await signInByKeyboard(page, server.url);
    const shown = page.getByRole("region", { name: "Programs that may sign in" });
    expect(await shown.innerText()).toContain(evil);
    await page.getByRole("link", { name: /^End the access/ }).click();
    await page.getByRole("heading", { name: "<script>" }).waitFor();
    await page.goto(`${server.url}/page/nodes?status=<img/src=x>&cursor="><script>alert(1)</script>`);
    await page.goto(`${server.url}/page/accept?name=<img src=x onerror=alert(1)>`);
    expect(await page.locator("img, script").count()).toBe(0);
    expect(refused.filter((text) => !/40[04]/.test(text))).toEqual([]);
  });

  test("another site can neither frame the page nor send its forms", async () => {
    const server = await startPageServer();
    const key = await addNode(server, "pi", withheld(120));
    const { page } = await newPage();
    await signInByKeyboard(page, server.url);
    await page.goto(`${server.url}/page/accept?name=pi`);
    const csrf = await page.locator('form:has([name="count"]) [name="csrf"]').inputValue();
    const submit = await openForeignForm(page, {
      framed: `${server.url}/`,
      action: `${server.url}/page/accept`,
      fields: `<input name="csrf" value="${csrf}"><input name="name" value="pi"><input name="count" value="120 0 0">`,
    });
    await expect.poll(() => page.frames().at(-1)?.url()).toMatch(/^chrome-error:/);
    expect(await submit()).toBe(403);
    const { headers } = await new SyncingNode(server.url, key).poll();
    expect(headers.get("m25-accept-removals")).toBeNull();
  });
});
