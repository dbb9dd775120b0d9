import {
  type CallToolResult,
  type Implementation,
  type InputRequiredResult,
  type JSONRPCRequest,
  ProtocolError,
  ProtocolErrorCode,
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

  constructor(callTool: CallTool, info: Implementation, options: ServerOptions) {
    super(info, options);
    this.#callTool = callTool;
    this.setRequestHandler("tools/call", ({ params }, context) => callTool(params, context));
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
        return await wrapped(request, context);
      } catch (error) {
        throw isWordsOfAValidator(error, method) ? wrongParams(method) : error;
      }
    };
  }
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
  "tools/list": "at most cursor, a text; leave it out (null is no text) for the first page",
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
