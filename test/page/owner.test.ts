import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { useChromium, violations } from "../support/browser.ts";
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
