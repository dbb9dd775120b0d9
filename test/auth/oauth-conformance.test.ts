import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { Browser, choose, goBack, type OAuthServer, signIn, startOAuthServer } from "../support/oauth.ts";
import { killed } from "../support/program.ts";

const SUITE = fileURLToPath(import.meta.resolve("@modelcontextprotocol/conformance/dist/index.js"));

/** The suite prints the address to sign in at and listens for the redirect. */
test("the official suite's authorization command accepts the metadata and a grant", async () => {
  const server = await startOAuthServer();
  const port = await freePort();
  const redirect = `http://127.0.0.1:${port}/callback`;
  const client = await server.must("add-oauth-client", { name: "conformance", redirect_uris: [redirect] });
  const suite = spawn(process.execPath, [
    SUITE,
    "authorization",
    ...["--url", server.url, "--resource", `${server.url}/mcp`],
    ...["--client-id", String(client.client_id), "--port", String(port)],
  ]);
  onTestFinished(() => killed(suite));
  let said = "";
  let signingIn: Promise<unknown> | undefined;
  suite.stdout.setEncoding("utf8").on("data", (text: string) => {
    said += text;
    const url = /^(http\S+\/authorize\?\S+)$/m.exec(said)?.[1];
    if (url !== undefined) signingIn ??= allow(server, url);
  });
  const [code] = await once(suite, "close");
  await signingIn;
  expect(said).toContain("Total: 3 passed, 0 failed");
  expect(code).toBe(0);
});

async function allow(server: OAuthServer, url: string): Promise<void> {
  const browser = new Browser(server.url);
  const page = await browser.get(url);
  const consent = await signIn({ browser, page, verifier: "" });
  await fetch(await goBack(browser, await choose(browser, consent, { scopes: ["read"] })));
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
