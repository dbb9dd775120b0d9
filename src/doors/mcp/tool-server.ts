import {
  type CallToolResult,
  type Implementation,
  type InputRequiredResult,
  isInputRequiredResult,
  type JSONRPCRequest,
  ProtocolError,
  ProtocolErrorCode,
  type RequestId,
  type Result,
  Server,
  type ServerContext,
  type ServerOptions,
} from "@modelcontextprotocol/server";

/** What somebody calls, and with what: nothing of it is judged yet. */
export interface Called {
  /** Empty where none is given. */
  name: string;
  arguments?: unknown;
}

type CallTool = (called: Called, context: ServerContext) => Promise<CallToolResult | InputRequiredResult>;

type Handler = (request: JSONRPCRequest, context: ServerContext) => Promise<Result>;

/** A refusal in words of ours, which are passed on as they are. */
export class PlainRefusal extends ProtocolError {}

/**
 * A server whose calls of tools are all answered by `callTool`. The SDK's own would refuse those of a shape that the
 * protocol does not have (`"arguments": null`) itself, with all that its validator has to say, and nobody would hear of it.
 * Other params of a shape that the protocol does not have are refused in plain words.
 */
export class ToolServer extends Server {
  readonly #callTool: CallTool;
  /** The calls that wait for the answer to a question, by their id. */
  readonly #asking = new Set<RequestId>();

  constructor(callTool: CallTool, info: Implementation, options: ServerOptions) {
    super(info, options);
    this.#callTool = callTool;
    this.setRequestHandler("tools/call", async ({ params }, context) => {
      const result = await callTool(params, context);
      if (isInputRequiredResult(result)) this.#asking.add(context.mcpReq.id);
      else this.#asking.delete(context.mcpReq.id);
      return result;
    });
  }

  protected override _wrapHandler(method: string, handler: Handler): Handler {
    const wrapped = super._wrapHandler(method, handler);
    return async (request, context) => {
      const { name, arguments: input } = request.params ?? {};
      const isUsual = typeof name === "string" && (input === undefined || isObject(input));
      if (method === "tools/call" && !isUsual) {
        return this.#callTool({ name: typeof name === "string" ? name : "", arguments: input }, context);
      }
      try {
        const result = await wrapped(withoutNullCursor(request), context);
        if (method !== "tools/call") return result;
        const hasNoAnswer = this.#asking.delete(request.id) && !isInputRequiredResult(result);
        return hasNoAnswer
          ? this.#callTool({ name: String(name), arguments: input }, closed(context))
          : result;
      } catch (error) {
        this.#asking.delete(request.id);
        throw isWordsOfAValidator(error, method) ? wrongParams(method) : error;
      }
    };
  }
}

/** Hosts send null for what they leave out. */
function withoutNullCursor(request: JSONRPCRequest): JSONRPCRequest {
  if (!request.method.endsWith("/list") || request.params?.cursor !== null) return request;
  const { cursor: _null, ...params } = request.params;
  return { ...request, params };
}

/** What the SDK says of a client that answered its question with an error, or with nothing that can be read, is a dump. */
function closed(context: ServerContext): ServerContext {
  return { ...context, mcpReq: { ...context.mcpReq, inputResponses: { confirm: { action: "cancel" } } } };
}

/** Where params do not fit its schema, the SDK throws a bare Error, and of calls of tools a ProtocolError without data. */
function isWordsOfAValidator(error: unknown, method: string): boolean {
  if (error instanceof PlainRefusal) return false;
  if (!(error instanceof ProtocolError)) return method !== "tools/call";
  return error.code === ProtocolErrorCode.InvalidParams && error.data === undefined;
}

/** What each method that is served here takes. */
const params: Readonly<Record<string, string>> = {
  initialize:
    "protocolVersion (a text), capabilities (an object) and clientInfo (an object with name and version, both texts)",
  "tools/list": "at most cursor, a text; leave it out for the first page",
  "tools/call":
    "name (a text) and arguments (an object), and after a question its inputResponses (an object) and requestState (the text that came with it)",
};

function wrongParams(method: string): ProtocolError {
  const wanted = params[method] ?? "what this revision of the protocol has for it";
  return new PlainRefusal(
    ProtocolErrorCode.InvalidParams,
    `The params of ${method} are not right. It takes ${wanted}.`,
  );
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
