import { randomBytes } from "node:crypto";
import { subscribe } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";
import type { Server } from "@modelcontextprotocol/server";
import { openStore } from "../../db/sqlite/store.ts";
import { Confirmations } from "../../src/doors/mcp/confirmation.ts";
import { OpenedLinks } from "../../src/doors/mcp/opened-links.ts";
import { advertisedTools, callTool, type McpParts, mcpServer } from "../../src/doors/mcp/server.ts";
import { logFailure, stderrLog } from "../../src/log/log.ts";
import { serveConfig } from "../../src/program/config.ts";
import { type RunningServer, serve } from "../../src/program/serve.ts";
import { call, type Runtime } from "../../tools/call/call.ts";
import { PasswordHasher } from "../../tools/call/password-hash.ts";
import { operator, type Principal } from "../../tools/call/principal.ts";
import { tools } from "../../tools/index.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import { addFixtures, fixtureTools } from "./fixtures.ts";

/** Starts the product's server on a loopback port, with the suite's fixtures beside the nine tools. */
export async function conformanceServer(database: string): Promise<RunningServer> {
  const config = serveConfig({ db: database, port: "0" }, {});
  const store = openStore(database, { create: true });
  const hasher = new PasswordHasher(config["hash-cost"]);
  const log = stderrLog();
  const runtime: Runtime = {
    store,
    now: () => new Date(),
    hashPassword: (password, principal) => hasher.hash(password, principal),
    reportFailure: (message, cause) => logFailure(log, message, cause),
  };
  const made = await call(runtime, {
    principal: operator("cli"),
    tool: operatorTools.createToken,
    input: { name: "conformance" },
  });
  if (!made.ok) throw made.error;
  authoriseEveryRequest(String(made.value.token));
  const parts = {
    runtime,
    tools,
    confirmations: new Confirmations(randomBytes(32)),
    links: new OpenedLinks(randomBytes(32)),
  };
  return serve(config, runtime, log, {
    mcpServerFor: (principal) => serverWithFixtures(parts, principal),
  });
}

/** Adds the token to every request, because the suite cannot send one. */
function authoriseEveryRequest(token: string): void {
  subscribe("http.server.request.start", (message) => {
    const { request } = message as { request: IncomingMessage };
    request.headers.authorization ??= `Bearer ${token}`;
  });
}

function serverWithFixtures(parts: McpParts, principal: Principal): Server {
  const server = mcpServer(parts, principal);
  server.setRequestHandler("tools/list", () => ({
    tools: [
      ...advertisedTools(tools),
      ...Object.entries(fixtureTools).map(([name, { inputSchema }]) => ({
        name,
        description: "For the conformance suite.",
        inputSchema: inputSchema ?? ({ type: "object" } as const),
      })),
    ],
  }));
  server.setRequestHandler("tools/call", ({ params }, context) => {
    const fixture = Object.hasOwn(fixtureTools, params.name) ? fixtureTools[params.name] : undefined;
    return (
      fixture?.run(params.arguments ?? {}, context) ??
      callTool(parts, { server, principal, origin: {} }, params, context)
    );
  });
  addFixtures(server);
  return server;
}
