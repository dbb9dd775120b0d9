import { getRequestListener, RequestError } from "@hono/node-server";
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

/** What came with a request besides its header fields. */
interface Message {
  authInfo: AuthInfo;
  parsedBody: unknown;
}

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

function failure(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status });
}

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
  const makeServer = ({ authInfo }: { authInfo?: AuthInfo }) =>
    serverFor(authInfo?.extra?.principal as Principal, authInfo?.extra?.origin as Origin);
  const handler = createMcpHandler(makeServer, { maxRequestBodySize: BODY_LIMIT, onerror });
  const answer = async (request: Request, message: Message) => {
    const { parsedBody } = message;
    const isLegacy =
      !request.headers.has("mcp-method") && // as of 2026-07-28 all have it: theirs need not be looked into twice
      !Array.isArray(parsedBody) && // of a batch, one message may cancel another, which then has no answer
      (await isLegacyRequest(request, parsedBody));
    if (!isLegacy) return handler.fetch(request, message);
    // The handler itself would answer with a stream of events. No tool tells anything before its answer.
    const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
    const server = makeServer(message);
    await server.connect(transport);
    try {
      return await transport.handleRequest(request, message);
    } finally {
      await server.close();
    }
  };
  const errorHandler = (error: unknown) => {
    if (error instanceof RequestError) {
      log.info("refused an MCP request", { reason: "its Host or path is no part of a URL" });
      return failure(
        400,
        ProtocolErrorCode.InvalidRequest,
        "Write the server's name in Host as it is usual.",
      );
    }
    log.error("an MCP request could not be served", error);
    return failure(500, ProtocolErrorCode.InternalError, "Something went wrong inside M25 Mail.");
  };
  scope.addHook("onClose", () => handler.close());
  // Fastify reads the body once; the SDK would copy the request first, to look at it.
  scope.removeContentTypeParser("text/plain");
  scope.setErrorHandler((error: FastifyError, _request, reply) => {
    const status = error.statusCode ?? 500;
    const refusal = unreadable[status];
    if (refusal === undefined) throw error;
    return reply.status(status).send({ jsonrpc: "2.0", id: null, error: refusal });
  });
  scope.post("/mcp", async (request, reply) => {
    const origin: Origin = { request: request.id, client: clientOfUserAgent(request.headers["user-agent"]) };
    if (await answerForScope?.(request, reply, origin)) return;
    reply.hijack();
    const { principal, body } = request;
    const message: Message = {
      authInfo: {
        token: "",
        clientId: principal.name,
        scopes: [...principal.scopes],
        extra: { principal, origin },
      },
      parsedBody: body,
    };
    await getRequestListener((webRequest) => answer(webRequest, message), { errorHandler })(
      request.raw,
      reply.raw,
    );
  });
}
