import { getRequestListener } from "@hono/node-server";
import {
  type AuthInfo,
  createMcpHandler,
  isLegacyRequest,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
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

/** How the SDK begins to tell of a message that is none of the protocol's, and its own name for the fault. */
const REJECTED = /^Rejected inbound request \(([\w-]+)\)/;

/** The SDK's name for what a client did wrong; undefined for a fault of ours. */
function clientFault(error: Error): string | undefined {
  return error instanceof ProtocolError ? String(error.code) : REJECTED.exec(error.message)?.[1];
}

/** Mounts /mcp on a scope whose `authenticate` has set request.principal: a server of its own for each request. */
export async function mountMcp(
  scope: FastifyInstance,
  serverFor: McpServerFactory,
  log: Log,
  answerForScope?: StepUp,
): Promise<void> {
  const onerror = (error: Error) => {
    const reason = clientFault(error);
    if (reason === undefined) log.error("an MCP request could not be served", error);
    else log.info("refused an MCP request", { reason });
  };
  const factory = ({ authInfo }: { authInfo?: AuthInfo }) =>
    serverFor(authInfo?.extra?.principal as Principal, authInfo?.extra?.origin as Origin);
  const handler = createMcpHandler(factory, { legacy: "reject", maxRequestBodySize: BODY_LIMIT, onerror });
  const answer = async (request: Request, options: { authInfo: AuthInfo; parsedBody: unknown }) => {
    if (request.method !== "POST" || !(await isLegacyRequest(request, options.parsedBody))) {
      return handler.fetch(request, options);
    }
    const server = factory(options);
    const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
    await server.connect(transport);
    try {
      return await transport.handleRequest(request, options);
    } finally {
      await server.close();
    }
  };
  const handle = getRequestListener((request, { incoming }) =>
    answer(request, incoming as unknown as { authInfo: AuthInfo; parsedBody: unknown }),
  );
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
    await handle(Object.assign(request.raw, { authInfo: auth, parsedBody: request.body }), reply.raw);
  });
}
