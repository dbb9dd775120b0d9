import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { openStore } from "../../db/sqlite/store.ts";
import { AccessTokens } from "../../src/auth/access-tokens.ts";
import { bearerCredential } from "../../src/auth/bearer.ts";
import { LastSeen } from "../../src/auth/last-seen.ts";
import { overMcp } from "../../src/doors/mcp/wording.ts";
import { stderrLog } from "../../src/log/log.ts";
import { mcpName } from "../../tools/call/tool.ts";
import { tools } from "../../tools/index.ts";
import { peerRequire, runtimeOf } from "../support.ts";
import { handlerOf } from "./idiom.ts";

interface Request extends IncomingMessage {
  body: unknown;
}
type Handler = (request: Request, response: ServerResponse, next: () => void) => unknown;
interface Express {
  (): {
    use(handler: Handler): void;
    post(path: string, handler: Handler): void;
    listen(port: number, host: string, listening: () => void): Server;
  };
  json(): Handler;
}

/**
 * The nine tools without sessions as in the 1.x SDK's documentation: on Express, with a server, a schema validator and a
 * transport for each request. Same store, same tokens, same call().
 */
const express = peerRequire("express") as Express;
const store = openStore(process.argv[2] ?? "", { create: false });
const runtime = runtimeOf(store);
const tokens = new AccessTokens(store, new LastSeen(store, stderrLog()));

function makeServer(): McpServer {
  const server = new McpServer({ name: "idiom", version: "1.0.0" });
  for (const tool of tools) {
    const { title, input, output } = tool;
    const description = overMcp(tool.description);
    server.registerTool(
      mcpName(tool),
      { title, description, inputSchema: input.shape, outputSchema: output.shape },
      handlerOf(runtime, tool),
    );
  }
  return server;
}

const app = express();
app.use(express.json());
app.post("/mcp", async (request, response) => {
  const credential = bearerCredential(request.headers.authorization);
  if ((await tokens.authenticate(credential, "mcp", new Date())) === undefined) {
    response.writeHead(401).end();
    return;
  }
  const server = makeServer();
  const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
  response.on("close", () => {
    void transport.close();
    void server.close();
  });
  await server.connect(transport);
  await transport.handleRequest(request, response, request.body);
});
const server = app.listen(0, "127.0.0.1", () => {
  process.stderr.write(`serves http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});
process.once("SIGTERM", () => process.exit());
