import { toNodeHandler } from "@modelcontextprotocol/node";
import { createMcpHandler, ProtocolErrorCode, type Server } from "@modelcontextprotocol/server";
import type { FastifyError, FastifyInstance } from "fastify";
import type { Origin } from "../../../tools/call.ts";
import type { Principal } from "../../../tools/principal.ts";
import type { Log } from "../../log.ts";
import { clientOfUserAgent } from "../client-name.ts";
import { BODY_LIMIT } from "../http/limits.ts";
import type { StepUp } from "./step-up.ts";

/** Makes the MCP server that answers one request of this principal. */
export type McpServerFactory = (principal: Principal, origin: Origin) => Server;

/** What is said of a message that cannot be read; none of it is repeated, it may hold a password. */
const unreadable: Record<number, { code: number; message: string }> = {
  400: { code: ProtocolErrorCode.ParseError, message: "The message is no JSON." },
  413: {
    code: ProtocolErrorCode.InvalidRequest,
    message: `The message is too large: send at most ${BODY_LIMIT} bytes.`,
  },
  415: { code: ProtocolErrorCode.InvalidRequest, message: "Send Content-Type: application/json." },
};

/** Mounts /mcp on a scope whose `authenticate` has set request.principal: a server of its own for each request. */
export async function mountMcp(
  scope: FastifyInstance,
  serverFor: McpServerFactory,
  log: Log,
  answerForScope?: StepUp,
): Promise<void> {
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
  // Fastify reads the body once; the SDK would copy the request first, to look at it.
  scope.removeContentTypeParser("text/plain");
  scope.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const refusal = unreadable[status];
    if (refusal === undefined) throw error;
    return reply.status(status).send({ jsonrpc: "2.0", id: null, error: refusal });
  });
  scope.all("/mcp", async (request, reply) => {
    const origin: Origin = { request: request.id, client: clientOfUserAgent(request.headers["user-agent"]) };
    if (await answerForScope?.(request, reply, origin)) return;
    reply.hijack();
    const auth = {
      token: "",
      clientId: request.principal.name,
      scopes: [...request.principal.scopes],
      extra: { principal: request.principal, origin },
    };
    await handle(Object.assign(request.raw, { auth }), reply.raw, request.body);
  });
}
