import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openForeignForm, useChromium, violations } from "../support/browser.ts";
import { CHROMIUM } from "../support/needs.ts";
import { startServer } from "../support/server.ts";

const GOOD = "brown hen in a tall tree";

/** The address of a new link, on the running server. */
async function newLink(): Promise<string> {
  const server = await startServer({ tools: "people", "public-url": "http://localhost" });
  await server.api("add-domain", { domain: "example.nl" });
  const { body } = await server.api("invite-user", { email: "jan@example.nl" });
  return server.url + new URL(String(body.url)).pathname;
}

describe.skipIf(!existsSync(CHROMIUM))("in Chromium (skipped where it is not installed)", () => {
  const newPage = useChromium({ viewport: { width: 900, height: 760 } });

  test("an owner without scripts chooses a password by keyboard alone, in Dutch", async () => {
    const url = await newLink();
    const { page, refused } = await newPage({ javaScriptEnabled: false, locale: "nl-NL" });
    await page.goto(url);
    await page.locator("#password:focus").waitFor();
    await page.keyboard.type(GOOD);
    await page.keyboard.press("Tab");
    await page.keyboard.type("something else");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("alert").innerText()).toBe(
      "De twee wachtwoorden zijn niet gelijk. Typ ze opnieuw.",
    );
    await page.getByLabel("Nieuw wachtwoord").fill(GOOD);
    await page.getByLabel("Nogmaals hetzelfde wachtwoord").fill(GOOD);
    await page.getByRole("button", { name: "Wachtwoord opslaan" }).click();
    await page.getByRole("heading", { name: "Uw wachtwoord is opgeslagen" }).waitFor();
    await page.goto(url);
    await page.getByRole("heading", { name: "Deze link werkt niet" }).waitFor();
    expect(refused.filter((text) => !/40[04]/.test(text))).toEqual([]);
  });

  test.each(["light", "dark"] as const)(
    "axe finds nothing (%s) on a screen of 320 pixels",
    async (colorScheme) => {
      const url = await newLink();
      const { page } = await newPage({ colorScheme, viewport: { width: 320, height: 700 } });
      const fits = async () => {
        expect(await violations(page)).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(320);
      };
      await page.goto(url);
      await fits();
      await page.getByLabel("New password").fill("password123");
      await page.getByLabel("The same password again").fill("password123");
      await page.getByRole("button", { name: "Save password" }).click();
      await page.getByRole("alert").waitFor();
      await fits();
      await page.getByLabel("New password").fill(GOOD);
      await page.getByLabel("The same password again").fill(GOOD);
      await page.getByRole("button", { name: "Save password" }).click();
      await page.getByRole("status").waitFor();
      await fits();
    },
  );
});

const JAN = "jan@example.nl";

/** The address of the owner's page, on a server with one mailbox. */
async function withMailbox(): Promise<string> {
  const server = await startServer({ tools: "people", "public-url": "http://localhost" });
  await server.api("add-domain", { domain: "example.nl" });
  await server.api("add-user", { email: JAN, password: GOOD });
  return `${server.url}/owner`;
}

describe.skipIf(!existsSync(CHROMIUM))("the owner's page in Chromium", () => {
  const newPage = useChromium({ viewport: { width: 900, height: 900 } });

  test("an owner without scripts makes and ends an app password and changes the password, by keyboard, in Dutch", async () => {
    const url = await withMailbox();
    const { page, refused } = await newPage({ javaScriptEnabled: false, locale: "nl-NL" });
    await page.goto(url);
    await page.locator("#username:focus").waitFor();
    await page.keyboard.type(JAN);
    await page.keyboard.press("Tab");
    await page.keyboard.type("not the password");
    await page.keyboard.press("Enter");
    expect(await page.getByRole("alert").innerText()).toBe("Het adres of het wachtwoord klopt niet.");
    await page.keyboard.type(JAN);
    await page.keyboard.press("Tab");
    await page.keyboard.type(GOOD);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Uw mailbox" }).waitFor();
    await page.getByLabel("Naam").fill("Telefoon");
    await page.keyboard.press("Enter");
    const shown = await page.locator("code").innerText();
    expect(shown).toMatch(/^([a-z]{4}-){6}[a-z]{4}$/);
    await page.getByRole("link", { name: "Klaar" }).click();
    expect(await page.content()).not.toContain(shown);
    await page.getByRole("button", { name: "Beëindigen: Telefoon" }).press("Enter");
    await page.getByRole("status").waitFor();
    expect(await page.getByText("U hebt er geen.").count()).toBe(1);
    await page.getByLabel("Huidig wachtwoord").fill(GOOD);
    await page.getByLabel("Nieuw wachtwoord").fill(`${GOOD}s`);
    await page.getByLabel("Nogmaals hetzelfde wachtwoord").fill(`${GOOD}s`);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Uw wachtwoord is opgeslagen" }).waitFor();
    await page.goto(url);
    await page.getByRole("heading", { name: "Log in bij de instellingen van uw mailbox" }).waitFor();
    expect(refused.filter((text) => !/403/.test(text))).toEqual([]);
  });

  test.each(["light", "dark"] as const)(
    "axe finds nothing (%s) on a screen of 320 pixels",
    async (colorScheme) => {
      const url = await withMailbox();
      const { page } = await newPage({ colorScheme, viewport: { width: 320, height: 700 } });
      const fits = async () => {
        expect(await violations(page)).toEqual([]);
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(320);
      };
      const signIn = async (password: string) => {
        await page.getByLabel("Email address").fill(JAN);
        await page.getByLabel("Present password").fill(password);
        await page.getByRole("button", { name: "Sign in" }).click();
      };
      await page.goto(url);
      await fits();
      await signIn("wrong");
      await page.getByRole("alert").waitFor();
      await fits();
      await signIn(GOOD);
      for (const name of ["Phone", "W".repeat(64)]) {
        await page.getByLabel("Name").fill(name);
        await page.getByRole("button", { name: "Make an app password" }).click();
        await page.locator("code").waitFor();
        await fits();
        await page.getByRole("link", { name: "Done" }).click();
        await fits();
      }
      await page.getByRole("button", { name: "End: Phone" }).click();
      await page.getByRole("status").waitFor();
      await fits();
    },
  );

  test("another site can neither frame the page nor send its forms", async () => {
    const url = await withMailbox();
    const { page } = await newPage();
    await page.goto(url);
    await page.getByLabel("Email address").fill(JAN);
    await page.getByLabel("Present password").fill(GOOD);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByRole("heading", { name: "Your mailbox" }).waitFor();
    const submit = await openForeignForm(page, {
      framed: `${url}/`,
      action: `${url}/app-password`,
      fields: '<input type="hidden" name="name" value="Thief">',
    });
    await expect.poll(() => page.frames().at(-1)?.url()).toMatch(/^chrome-error:/);
    expect(await submit()).toBe(403);
    await page.goto(url);
    expect(await page.getByText("Thief").count()).toBe(0);
  });
});
