import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { signInByKeyboard, useChromium, violations } from "../support/browser.ts";
import { CHROMIUM } from "../support/needs.ts";
import { startOAuthServer, tokensFor } from "../support/oauth.ts";
import { fill } from "../support/page.ts";

/** All pages of a signed-in operator, while a node withholds removals. */
const paths = [
  "/",
  "/page/nodes",
  "/page/nodes?status=failing",
  "/page/domains",
  "/page/changes",
  "/page/access",
  "/page/accept?name=pi-utrecht",
  "/page/accept?name=nobody",
  "/page/forward?alias=person1%40shop.example&target=me%40home.example",
  "/page/forward?alias=nobody%40shop.example&target=me%40home.example",
];

describe.skipIf(!existsSync(CHROMIUM))("in Chromium (skipped where it is not installed)", () => {
  const newPage = useChromium({ viewport: { width: 1100, height: 700 } });

  test.each(["light", "dark"] as const)(
    "axe finds nothing (%s), and every page fits a screen of 320 pixels",
    async (colorScheme) => {
      const server = await startOAuthServer();
      await tokensFor(server);
      await fill(server);
      const { page, refused } = await newPage({ colorScheme });
      await page.goto(server.url);
      expect(await violations(page)).toEqual([]);
      await signInByKeyboard(page, server.url);
      const [link] = await page.getByRole("link", { name: /^End the access/ }).all();
      const endGrant = `/page/${(await link?.getAttribute("href"))?.replace(/.*page\//, "")}`;
      for (const path of [...paths, endGrant]) {
        await page.setViewportSize({ width: 1100, height: 700 });
        await page.goto(`${server.url}${path}`);
        expect(await violations(page), path).toEqual([]);
        await page.setViewportSize({ width: 320, height: 700 });
        expect(await page.evaluate("document.documentElement.scrollWidth"), path).toBe(320);
      }
      await page.goto(server.url);
      expect(await violations(page), "the overview, narrow").toEqual([]);
      await renewPictures(page, colorScheme);
      expect(refused.filter((text) => !text.includes("404"))).toEqual([]);
    },
  );

  /** M25_MAIL_SCREENSHOTS=docs updates the pictures in the docs. */
  async function renewPictures(page: Page, colorScheme: "light" | "dark"): Promise<void> {
    const folder = process.env.M25_MAIL_SCREENSHOTS;
    if (folder === undefined) return;
    const name = colorScheme === "light" ? "operator-page" : "operator-page-dark";
    await page.setViewportSize({ width: 1100, height: 900 });
    await page.screenshot({ path: join(folder, `${name}.png`) });
    if (colorScheme === "dark") return;
    await page.setViewportSize({ width: 320, height: 900 });
    await page.screenshot({ path: join(folder, "operator-page-narrow.png") });
  }
});
