import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, type Server } from "@modelcontextprotocol/server";
import type { FastifyInstance } from "fastify";
import type { Origin } from "../../../tools/call.ts";
import type { Principal } from "../../../tools/principal.ts";
import type { Log } from "../../log.ts";
import { clientOfUserAgent } from "../client-name.ts";
import { BODY_LIMIT } from "../http/limits.ts";

/** Makes the MCP server that answers one request of this principal. */
export type McpServerFactory = (principal: Principal, origin: Origin) => Server;

/** Mounts /mcp on a scope whose `authenticate` has set request.principal: a server of its own for each request. */
export async function mountMcp(scope: FastifyInstance, serverFor: McpServerFactory, log: Log): Promise<void> {
  const handler = createMcpHandler(
    ({ authInfo }) => serverFor(authInfo?.extra?.principal as Principal, authInfo?.extra?.origin as Origin),
    {
      maxRequestBodySize: BODY_LIMIT,
      onerror: (error) => log.error("an MCP request could not be served", error),
    },
  );
  const handle = toNodeHandler(handler, {
    onerror: (error) => log.error("an MCP request could not be served", error),
  });
  scope.addHook("onClose", () => handler.close());
  // The SDK reads the body itself, with its own limit and its own answer to malformed JSON.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", (_request, _body, done) => done(null));
  scope.all("/mcp", async (request, reply) => {
    reply.hijack();
    const origin: Origin = { request: request.id, client: clientOfUserAgent(request.headers["user-agent"]) };
    const auth = {
      token: "",
      clientId: request.principal.name,
      scopes: [...request.principal.scopes],
      extra: { principal: request.principal, origin },
    };
    await handle(Object.assign(request.raw, { auth }), reply.raw);
  });
}
