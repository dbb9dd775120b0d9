import { getRequestListener, RequestError } from "@hono/node-server";
import {
  type AuthInfo,
  createMcpHandler,
  isLegacyRequest,
  ProtocolErrorCode,
  type Server,
  WebStandardStreamableHTTPServerTransport,
} from "@modelcontextprotocol/server";
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Origin } from "../../../tools/call/call.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import type { Log } from "../../log/log.ts";
import { clientOfUserAgent } from "../client-name.ts";
import type { RequestLog } from "../http/request-log.ts";
import { BODY_LIMIT } from "../http/server-limits.ts";
import { isClientFault, reasonOf } from "./protocol-errors.ts";
import { initializeRefusal, plainMessage } from "./requests.ts";
import type { StepUp } from "./step-up.ts";

/** Makes the MCP server for one request of this principal. */
export type McpServerFactory = (principal: Principal, origin: Origin) => Server;

/** The caller and the body of a request, in the form that the SDK takes beside the request itself. */
interface Message {
  authInfo: AuthInfo;
  parsedBody: unknown;
}

interface ProtocolRefusal {
  code: number;
  message: string;
}

/** Answers to a message that cannot be read. They repeat nothing of it: it may hold a password. */
const unreadable: Record<number, ProtocolRefusal> = {
  400: { code: ProtocolErrorCode.ParseError, message: "The message is not JSON in UTF-8." },
  413: {
    code: ProtocolErrorCode.InvalidRequest,
    message: `The message is too large: send at most ${BODY_LIMIT} bytes.`,
  },
  415: { code: ProtocolErrorCode.InvalidRequest, message: "Send Content-Type: application/json." },
};

/** The first revision without batches. A client that names none is taken for 2025-03-26, which has them. */
const WITHOUT_BATCHES = "2025-06-18";

const noBatches = {
  code: ProtocolErrorCode.InvalidRequest,
  message: `Send one message at a time: as of the protocol's revision ${WITHOUT_BATCHES} there are no batches.`,
};

/** Messages in a batch, which older revisions have. All their answers become JSON in one turn of the event loop. */
const MOST_MESSAGES = 4;

const longBatch = {
  code: ProtocolErrorCode.InvalidRequest,
  message: `Send at most ${MOST_MESSAGES} messages in a batch.`,
};

function failure(status: number, code: number, message: string): Response {
  return Response.json({ jsonrpc: "2.0", id: null, error: { code, message } }, { status });
}

function refusedBatch(body: unknown, revision: string): ProtocolRefusal | undefined {
  if (!Array.isArray(body)) return undefined;
  if (revision >= WITHOUT_BATCHES) return noBatches;
  return body.length > MOST_MESSAGES ? longBatch : undefined;
}

/** Sets the Accept that the SDK requires. Clients send another or none, and read every answer. */
function withBothTypes(request: Request): Request {
  const accept = request.headers.get("accept") ?? "";
  if (/application\/json/.test(accept) && /text\/event-stream/.test(accept)) return request;
  const headers = new Headers(request.headers);
  headers.set("accept", "application/json, text/event-stream");
  return new Request(request, { headers });
}

/** Turns the answer into a stream of one event, if the client accepts nothing else. */
async function inAcceptedForm({ headers }: FastifyRequest, answer: Response): Promise<Response> {
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  if (headers.accept?.trim() !== "text/event-stream" || answer.status !== 200 || !isJson) return answer;
  const event = `event: message\ndata: ${await answer.text()}\n\n`;
  return new Response(event, { headers: { "content-type": "text/event-stream" } });
}

/** The parts of the server that /mcp needs. */
export interface McpHttpParts {
  serverFor: McpServerFactory;
  hasCall: RequestLog["hasCall"];
  /** Answers calls that lack a scope, for clients that can ask for more; undefined without OAuth. */
  answerForScope: StepUp | undefined;
  log: Log;
}

/** Mounts /mcp on a Fastify scope whose hook has set request.principal. Each request gets an MCP server of its own. */
export async function mountMcp(
  scope: FastifyInstance,
  { serverFor, hasCall, answerForScope, log }: McpHttpParts,
): Promise<void> {
  const answers = new McpAnswers(serverFor, log);
  scope.addHook("onClose", () => answers.close());
  // Fastify reads the body once; the SDK would copy the request to read it.
  scope.removeContentTypeParser("text/plain");
  scope.setErrorHandler((error: FastifyError, request, reply) => {
    const status = error.statusCode ?? 500;
    const refusal = unreadable[status];
    if (refusal === undefined) throw error;
    return sendRefusal(request, reply.status(status), refusal);
  });
  const serve = async (request: FastifyRequest, reply: FastifyReply) => {
    const refusal = refusedBatch(request.body, String(request.headers["mcp-protocol-version"] ?? ""));
    if (refusal !== undefined) return sendRefusal(request, reply.status(400), refusal);
    const origin = originOf(request);
    if (await answerForScope?.(request, reply, origin)) return;
    reply.hijack();
    const message = messageOf(request, origin);
    const answerAndNote = async (webRequest: Request) => {
      const response = await answers.answer(webRequest, message);
      // A call has its outcome in the log already.
      if (!hasCall(request.id)) request.refused = await reasonOf(response);
      return inAcceptedForm(request, response);
    };
    const errorHandler = (error: unknown) => notServed(request, error, log);
    await getRequestListener(answerAndNote, { errorHandler })(request.raw, reply.raw);
  };
  for (const path of ["/mcp", "/mcp/"]) scope.post(path, serve);
}

/** Lets the SDK answer messages, whatever their revision of the protocol. */
class McpAnswers {
  readonly #handler: ReturnType<typeof createMcpHandler>;
  readonly #serverFor: (message: { authInfo?: AuthInfo }) => Server;

  constructor(serverFor: McpServerFactory, log: Log) {
    this.#serverFor = ({ authInfo }) =>
      serverFor(authInfo?.extra?.principal as Principal, authInfo?.extra?.origin as Origin);
    const onerror = (error: Error) => {
      if (!isClientFault(error)) log.error("an MCP request could not be served", error);
    };
    this.#handler = createMcpHandler(this.#serverFor, { maxRequestBodySize: BODY_LIMIT, onerror });
  }

  close(): Promise<void> {
    return this.#handler.close();
  }

  async answer(received: Request, message: Message): Promise<Response> {
    const request = withBothTypes(received);
    const { parsedBody } = message;
    const isLegacy =
      !request.headers.has("mcp-method") && // all requests since 2026-07-28 have it, so their bodies need no look
      !Array.isArray(parsedBody) && // in a batch, one message may cancel another, which then gets no answer
      (await isLegacyRequest(request, parsedBody));
    if (!isLegacy) return this.#handler.fetch(request, message);
    const refusal = initializeRefusal(parsedBody);
    if (refusal !== undefined) {
      const { id = null } = parsedBody as { id?: string | number };
      return Response.json({ jsonrpc: "2.0", id, error: { code: refusal.code, message: refusal.message } });
    }
    // The handler itself would answer with a stream of events, but no tool sends anything before its answer.
    const transport = new WebStandardStreamableHTTPServerTransport({ enableJsonResponse: true });
    const server = this.#serverFor(message);
    await server.connect(transport);
    try {
      return await transport.handleRequest(request, message);
    } finally {
      await server.close();
    }
  }
}

function originOf(request: FastifyRequest): Origin {
  return {
    request: request.id,
    address: request.clientAddress,
    client: clientOfUserAgent(request.headers["user-agent"]),
  };
}

function messageOf({ principal, body }: FastifyRequest, origin: Origin): Message {
  return {
    authInfo: {
      token: "",
      clientId: principal.name,
      scopes: [...principal.scopes],
      extra: { principal, origin },
    },
    parsedBody: plainMessage(body),
  };
}

function sendRefusal(request: FastifyRequest, reply: FastifyReply, error: ProtocolRefusal): FastifyReply {
  request.refused = error.message;
  return reply.send({ jsonrpc: "2.0", id: null, error });
}

function notServed(request: FastifyRequest, error: unknown, log: Log): Response {
  if (error instanceof RequestError) {
    request.refused = "its Host is not valid";
    return failure(400, ProtocolErrorCode.InvalidRequest, "Send the server's name in the Host header.");
  }
  log.error("an MCP request could not be served", error, { request: request.id });
  return failure(500, ProtocolErrorCode.InternalError, "Something went wrong inside M25 Mail.");
}
