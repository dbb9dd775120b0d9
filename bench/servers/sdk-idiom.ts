import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, McpServer } from "@modelcontextprotocol/server";
import { openStore } from "../../db/sqlite/store.ts";
import { AccessTokens } from "../../src/auth/access-tokens.ts";
import { bearerCredential } from "../../src/auth/bearer.ts";
import { LastSeen } from "../../src/auth/last-seen.ts";
import { overMcp } from "../../src/doors/mcp/wording.ts";
import { stderrLog } from "../../src/log/log.ts";
import { mcpName } from "../../tools/call/tool.ts";
import { tools } from "../../tools/index.ts";
import { runtimeOf } from "../support.ts";
import { handlerOf } from "./idiom.ts";

/**
 * The nine tools over HTTP as in the SDK's documentation: a server for each request, with all tools registered with their
 * zod schemas, which makes the validators anew. Same store, same tokens, same call().
 */
const store = openStore(process.argv[2] ?? "", { create: false });
const runtime = runtimeOf(store);
const tokens = new AccessTokens(store, new LastSeen(store, stderrLog()));

const handle = toNodeHandler(
  createMcpHandler(() => {
    const server = new McpServer({ name: "idiom", version: "1.0.0" });
    for (const tool of tools) {
      const { title, input, output } = tool;
      const description = overMcp(tool.description);
      server.registerTool(
        mcpName(tool),
        { title, description, inputSchema: input, outputSchema: output },
        handlerOf(runtime, tool),
      );
    }
    return server;
  }),
);

const server = createServer(async (request: IncomingMessage, response) => {
  const credential = bearerCredential(request.headers.authorization);
  const principal = await tokens.authenticate(credential, "mcp", new Date());
  if (principal === undefined) response.writeHead(401).end();
  else await handle(request, response);
});
server.listen(0, "127.0.0.1", () => {
  process.stderr.write(`serves http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once("SIGTERM", () => process.exit());
