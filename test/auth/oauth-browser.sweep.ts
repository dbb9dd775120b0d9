import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openForeignForm, useChromium } from "../support/browser.ts";
import { callTool } from "../support/clients.ts";
import { CHROMIUM } from "../support/needs.ts";
import {
  CLAUDE_CODE,
  mcpStatus,
  type OAuthServer,
  OPERATOR_PASSWORD,
  refresh,
  startOAuthServer,
} from "../support/oauth.ts";
import { beginSignIn } from "../support/oauth-client.ts";

const flow = { clientId: CLAUDE_CODE, redirectUri: "" };

describe.skipIf(!existsSync(CHROMIUM))("in Chromium (skipped where it is not installed)", () => {
  const newPage = useChromium({ viewport: { width: 640, height: 480 } });

  /** Returns the sign-in page that a client opened, and the page after the right password. */
  async function signedIn(server: OAuthServer) {
    const signingIn = await beginSignIn(server.url);
    const { page } = await newPage();
    await page.goto(signingIn.authorizationUrl().href);
    await page.getByLabel("Operator’s password").fill(OPERATOR_PASSWORD);
    await page.keyboard.press("Enter");
    return { signingIn, page };
  }

  test.each([true, false])(
    "a client discovers the sign-in, the operator allows it one domain, and it works (scripts: %s)",
    async (javaScriptEnabled) => {
      const server = await startOAuthServer();
      await server.must("add-user", { email: "jan@example.org", password: "correct horse battery" });
      const signingIn = await beginSignIn(server.url);
      const wanted = signingIn.authorizationUrl();
      expect(wanted.searchParams.get("client_id")).toBe(CLAUDE_CODE);
      expect(wanted.searchParams.get("resource")).toBe(`${server.url}/mcp`);

      const { page, refused } = await newPage({ javaScriptEnabled });
      // Clients that do not read the 401 ask for every scope in the metadata.
      wanted.searchParams.set("scope", "read write destroy nodes");
      await page.goto(wanted.href);
      await expect.poll(() => page.getByText("asks to administer mail").isVisible()).toBe(true);
      expect(await page.content()).not.toContain("example.org");
      await page.getByLabel("Operator’s password").fill("not this one");
      await page.getByRole("button", { name: "Sign in" }).click();
      expect(await page.getByRole("alert").innerText()).toBe("That is not the operator’s password.");
      await page.getByLabel("Operator’s password").fill(OPERATOR_PASSWORD);
      await page.getByRole("button", { name: "Sign in" }).click();

      expect(await page.getByRole("checkbox", { name: /See domains/ }).isChecked()).toBe(true);
      expect(await page.getByRole("checkbox", { name: /Add and change/ }).isChecked()).toBe(true);
      expect(await page.getByRole("checkbox", { name: /Remove for good/ }).isChecked()).toBe(false);
      expect(await page.getByRole("checkbox", { name: /mail servers/ }).isChecked()).toBe(false);
      await page.getByRole("radio", { name: "Only these:" }).check();
      await page.getByRole("checkbox", { name: "example.nl" }).check();
      // M25_MAIL_SCREENSHOT=docs/consent.png updates the picture in docs/internet.md.
      const path = process.env.M25_MAIL_SCREENSHOT;
      if (path !== undefined && javaScriptEnabled) await page.screenshot({ path, fullPage: true });
      await page.getByRole("button", { name: "Allow" }).click();
      const answer = await signingIn.answered;
      expect(answer.searchParams.get("iss")).toBe(server.url);
      await page.waitForURL(/localhost:\d+\/callback/);
      // The browser reports only the 403 of the wrong password.
      expect(refused.filter((text) => !text.includes("403"))).toEqual([]);

      const client = await signingIn.finish();
      const listed = await callTool(client, "list-domains");
      expect(listed.structuredContent).toMatchObject({ domains: [{ domain: "example.nl" }], total: 1 });
      const foreign = await callTool(client, "list-users", { domain: "example.org" });
      expect(foreign.content[0]?.text).toContain("domain_not_found");

      const first = signingIn.tokens();
      expect(first.scope).toBe("read write");
      const second = await refresh(server, String(first.refresh_token), flow);
      expect(second.status).toBe(200);
      expect(await mcpStatus(server, second.body.access_token)).toBe(200);
      expect((await refresh(server, String(first.refresh_token), flow)).status).toBe(400);
      expect(await mcpStatus(server, second.body.access_token)).toBe(401);
      expect((await refresh(server, second.body.refresh_token, flow)).status).toBe(400);
    },
  );

  test("a client that the operator revokes is refused at its next call", async () => {
    const server = await startOAuthServer();
    const { signingIn, page } = await signedIn(server);
    await page.getByRole("radio", { name: /All domains/ }).check();
    await page.getByRole("button", { name: "Allow" }).click();
    await signingIn.finish();
    const { access_token } = signingIn.tokens();
    expect(await mcpStatus(server, access_token)).toBe(200);
    const { grants } = (await server.must("list-oauth-grants")) as { grants: Array<{ id: string }> };
    await server.must("revoke-oauth-grant", { id: grants[0]?.id });
    expect(await mcpStatus(server, access_token)).toBe(401);
  });

  test('"Allow" needs a choice of domains, and "Deny" sends the client away', async () => {
    const server = await startOAuthServer();
    const { signingIn, page } = await signedIn(server);
    await page.getByRole("button", { name: "Allow" }).click(); // the browser itself asks for a choice
    expect(await page.getByRole("button", { name: "Allow" }).isVisible()).toBe(true);
    await page.getByRole("button", { name: "Deny" }).click();
    expect((await signingIn.answered).searchParams.get("error")).toBe("access_denied");
    expect((await server.must("list-oauth-grants")).grants).toEqual([]);
  });

  test("another site can neither frame the page nor send its form", async () => {
    const server = await startOAuthServer();
    const { page } = await signedIn(server);
    await page.getByRole("button", { name: "Allow" }).waitFor();
    const consent = page.url();
    const csrf = await page.locator('input[name="csrf"]').inputValue();
    const submit = await openForeignForm(page, {
      framed: consent,
      action: consent,
      fields: `<input name="csrf" value="${csrf}"><input name="scope" value="read"><input name="access" value="all">
        <input name="decision" value="allow">`,
    });
    await expect.poll(() => page.frames().at(-1)?.url()).toMatch(/^chrome-error:/);
    expect(await submit()).toBe(403);
    expect((await server.must("list-oauth-grants")).grants).toEqual([]);
  });
});
