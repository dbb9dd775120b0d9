import {
  type CallToolResult,
  type Implementation,
  type InputRequiredResult,
  type JSONRPCRequest,
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

/**
 * A server whose calls of tools are all answered by `callTool`. The SDK's own would refuse those of a shape that the
 * protocol does not have (`"arguments": null`) itself, with all that its validator has to say, and nobody would hear of it.
 */
export class ToolServer extends Server {
  readonly #callTool: CallTool;

  constructor(callTool: CallTool, info: Implementation, options: ServerOptions) {
    super(info, options);
    this.#callTool = callTool;
    this.setRequestHandler("tools/call", ({ params }, context) => callTool(params, context));
  }

  protected override _wrapHandler(
    method: string,
    handler: (request: JSONRPCRequest, context: ServerContext) => Promise<Result>,
  ): (request: JSONRPCRequest, context: ServerContext) => Promise<Result> {
    const wrapped = super._wrapHandler(method, handler);
    if (method !== "tools/call") return wrapped;
    return (request, context) => {
      const { name, arguments: input } = request.params ?? {};
      const isUsual = typeof name === "string" && (input === undefined || isObject(input));
      if (isUsual) return wrapped(request, context);
      return this.#callTool({ name: typeof name === "string" ? name : "", arguments: input }, context);
    };
  }
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
