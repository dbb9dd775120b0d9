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

/** A tool call as it arrived, not checked yet. */
export interface Called {
  /** Empty if none is given. */
  name: string;
  arguments?: unknown;
}

type CallTool = (called: Called, context: ServerContext) => Promise<CallToolResult | InputRequiredResult>;

type Handler = (request: JSONRPCRequest, context: ServerContext) => Promise<Result>;

/** A refusal in the server's own words, which the SDK passes on unchanged. */
export class PlainRefusal extends ProtocolError {}

/**
 * A server that answers all tool calls with `callTool`. The SDK's own would refuse malformed calls (`"arguments": null`)
 * itself, with its validator's long output and without a log line. Other malformed params are refused in plain words.
 */
export class ToolServer extends Server {
  readonly #callTool: CallTool;
  /** Ids of the calls that wait for a person's answer. */
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

/** Some hosts send a null cursor for none. */
function withoutNullCursor(request: JSONRPCRequest): JSONRPCRequest {
  if (!request.method.endsWith("/list") || request.params?.cursor !== null) return request;
  const { cursor: _null, ...params } = request.params;
  return { ...request, params };
}

/** Takes an error or an unreadable answer to a question as `cancel`: the SDK's own message about it is a dump. */
function closed(context: ServerContext): ServerContext {
  return { ...context, mcpReq: { ...context.mcpReq, inputResponses: { confirm: { action: "cancel" } } } };
}

/** If params do not fit its schema, the SDK throws a bare Error, or for tool calls a ProtocolError without data. */
function isWordsOfAValidator(error: unknown, method: string): boolean {
  if (error instanceof PlainRefusal) return false;
  if (!(error instanceof ProtocolError)) return method !== "tools/call";
  return error.code === ProtocolErrorCode.InvalidParams && error.data === undefined;
}

/** The params of each method served here. */
const params: Readonly<Record<string, string>> = {
  initialize:
    "protocolVersion (a text), capabilities (an object) and clientInfo (an object with name and version, both texts)",
  "tools/list": "at most cursor, a text; leave it out for the first page",
  "tools/call":
    "name (a text) and arguments (an object), and after a question its inputResponses (an object) and requestState (the text that came with it)",
};

function wrongParams(method: string): ProtocolError {
  const wanted = params[method] ?? "the params of this protocol revision";
  return new PlainRefusal(
    ProtocolErrorCode.InvalidParams,
    `The params of ${method} are not right. It takes ${wanted}.`,
  );
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
