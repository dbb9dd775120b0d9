import { chmodSync } from "node:fs";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { expect, onTestFinished, test, vi } from "vitest";
import { callTool } from "../support/clients.ts";
import { Browser, choose, goBack, type OAuthServer, signIn, startOAuthServer } from "../support/oauth.ts";
import { Home } from "./client.ts";
import { areInstalled, packages } from "./installed.ts";

/** Waits for the address that a client wants opened, allows the client there, and follows the way back. */
async function allow(server: OAuthServer, said: () => string): Promise<URL> {
  const address = await vi.waitFor(
    () => {
      const [, found] = /(http\S+\/authorize\?\S+)\s/.exec(said()) ?? [];
      if (found === undefined) throw new Error(`The client asks nobody to sign in: ${said()}`);
      return found;
    },
    { timeout: 600_000, interval: 50 },
  );
  const browser = new Browser(server.url);
  const begun = { browser, verifier: "", page: await browser.get(address) };
  const back = await goBack(browser, await choose(browser, await signIn(begun)));
  expect((await fetch(back)).status).toBe(200);
  return new URL(address);
}

test.runIf(areInstalled())("mcp-remote signs in as a client that the operator registered", async () => {
  const server = await startOAuthServer();
  await server.must("add-oauth-client", {
    name: "mcp-remote",
    redirect_uris: ["http://localhost:3334/oauth/callback"],
  });
  const home = new Home();
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [
      join(packages, "mcp-remote/dist/proxy.js"),
      `${server.url}/mcp`,
      "--static-oauth-client-info",
      '{"client_id":"mcp-remote"}',
      "--auth-timeout", // 30 s by default, which a busy machine may need for the operator's two pages
      "600",
    ],
    cwd: home.folder,
    env: home.environment(),
    stderr: "pipe",
  });
  let said = "";
  transport.stderr?.on("data", (chunk) => {
    said += String(chunk);
  });
  const client = new Client({ name: "test", version: "1" });
  onTestFinished(() => client.close());
  const [asked] = await Promise.all([
    allow(server, () => said),
    client.connect(transport, { timeout: 600_000 }),
  ]).catch((cause) => {
    throw new Error(said, { cause });
  });
  expect(asked.searchParams.get("client_id")).toBe("mcp-remote");
  // Another port than the registered one: mcp-remote chooses it by the server's address.
  expect(asked.searchParams.get("redirect_uri")).toMatch(
    /^http:\/\/localhost:(?!3334\/)\d+\/oauth\/callback$/,
  );
  expect((await callTool(client, "list-domains")).structuredContent).toMatchObject({ total: 2 });
});

test.runIf(areInstalled())("mcpc signs in as a client that the operator registered", async () => {
  const server = await startOAuthServer();
  await server.must("add-oauth-client", { name: "mcpc", redirect_uris: ["http://localhost:8000/callback"] });
  const home = new Home();
  home.write("bin/xdg-open", "#!/bin/sh\n");
  chmodSync(join(home.folder, "bin/xdg-open"), 0o700);
  const mcpc = join(packages, "@apify/mcpc/bin/mcpc");
  const login = home.start([process.execPath, mcpc, "login", `${server.url}/mcp`, "--client-id", "mcpc"], {
    input: "\n",
  });
  const asked = await allow(server, login.said);
  expect(asked.searchParams.get("client_id")).toBe("mcpc");
  expect((await login.finished).code, login.said()).toBe(0);
  // No call follows: mcpc's background process has 5 seconds to start, too few for a busy machine.
  expect(server.log.join("\n")).toMatch(/the operator allowed a client.*mcpc/);
});

test.runIf(areInstalled())("Codex signs in with its client metadata document", async () => {
  const server = await startOAuthServer();
  const home = new Home();
  home.write(
    ".codex/config.toml",
    `mcp_oauth_credentials_store = "file"\n[mcp_servers.m25-mail]\nurl = "${server.url}/mcp"\n`,
  );
  const codex = join(packages, "@openai/codex/bin/codex.js");
  const login = home.start([process.execPath, codex, "mcp", "login", "m25-mail"]);
  const asked = await allow(server, login.said);
  expect(asked.searchParams.get("client_id")).toBe("https://chatgpt.com/oauth/codex/client.json");
  expect((await login.finished).code, login.said()).toBe(0);
});
