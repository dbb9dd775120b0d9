import { randomUUID } from "node:crypto";
import {
  type CallToolResult,
  type InputRequiredResult,
  isInputRequiredResult,
  type ListToolsResult,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerContext,
} from "@modelcontextprotocol/server";
import * as z from "zod";
import { TTL } from "./confirmation.ts";

/** A tool call as it arrived, not checked yet. */
export interface ToolRequest {
  /** Empty if none is given. */
  name: string;
  arguments?: unknown;
}

type CallTool = (asked: ToolRequest, context: ServerContext) => Promise<CallToolResult | InputRequiredResult>;

/** Answers tools/list in one page. A null cursor counts as none: hosts send null for what they leave out. */
export function answerLists(server: Server, tools: () => ListToolsResult["tools"]): void {
  server.setRequestHandler("tools/list", { params: z.looseObject({}) }, ({ cursor }) => {
    if (typeof (cursor ?? "") !== "string") {
      throw wrongParams("tools/list", "at most cursor, a text; leave it out for the first page");
    }
    return { tools: tools() };
  });
}

/** Answers tools/call with `callTool`. The messages must have passed `plainMessage`. */
export function answerCalls(server: Server, callTool: CallTool): void {
  server.setRequestHandler("tools/call", async ({ params: { name, arguments: given = {} } }, context) => {
    const asked = { name, arguments: Object.hasOwn(given, NO_OBJECT) ? given[NO_OBJECT] : given };
    let result = await callTool(asked, context);
    // Without an envelope, the revision is from before 2026-07-28: the client cannot be told to call again with answers.
    while (isInputRequiredResult(result) && context.mcpReq.envelope === undefined) {
      result = await callTool(asked, await withAnswers(result, context));
    }
    return result;
  });
}

/** The field that carries arguments which are no object past the SDK. No client can know its name. */
const NO_OBJECT = randomUUID();

/**
 * Puts a message, or a batch, into the form that the SDK takes. The SDK refuses any other form before a handler runs, in its
 * validator's words; call() must refuse it, and record it. Hosts send null for fields that they leave out.
 */
export function plainMessage(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(plainMessage);
  if (!isObject(message) || message.method !== "tools/call" || !isObject(message.params ?? {}))
    return message;
  const { name, arguments: input, task, ...params } = (message.params ?? {}) as Record<string, unknown>;
  return {
    ...message,
    params: {
      ...params,
      ...(task !== undefined && task !== null && { task }),
      name: typeof name === "string" ? name : "",
      arguments: isObject(input ?? {}) ? (input ?? {}) : { [NO_OBJECT]: input },
    },
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Asks the client by requests from the server. @returns the context for a second call, with the answers */
async function withAnswers(
  { inputRequests = {}, requestState }: InputRequiredResult,
  context: ServerContext,
): Promise<ServerContext> {
  const { mcpReq } = context;
  const inputResponses: Record<string, unknown> = {};
  for (const [name, { method, params }] of Object.entries(inputRequests)) {
    const asked =
      params !== undefined && "url" in params ? { ...params, elicitationId: randomUUID() } : { ...params };
    inputResponses[name] = await mcpReq
      .send({ method, params: asked }, { timeout: TTL * 1000, signal: mcpReq.signal })
      .catch(() => ({ action: "cancel" })); // an error closes the question
  }
  return { ...context, mcpReq: { ...mcpReq, inputResponses, requestState: <T>() => requestState as T } };
}

/** A request to begin a connection, as far as the SDK's handler needs it. */
const Initialize = z.object({
  protocolVersion: z.string(),
  capabilities: z.looseObject({}),
  clientInfo: z.looseObject({ name: z.string(), version: z.string() }),
});

/**
 * The refusal of an `initialize` with wrong params; undefined for any other message. The doors ask before the SDK, whose
 * handler cannot be replaced and answers in its validator's words, as it still does if something inside `capabilities` is wrong.
 */
export function initializeRefusal(message: unknown): ProtocolError | undefined {
  const { method, params } = Object(message) as { method?: unknown; params?: unknown };
  if (method !== "initialize" || Initialize.safeParse(params).success) return undefined;
  return wrongParams(
    "initialize",
    "protocolVersion (a text), capabilities (an object) and clientInfo (an object with name and version, both texts)",
  );
}

function wrongParams(method: string, wanted: string): ProtocolError {
  const message = `The params of ${method} are not right. It takes ${wanted}.`;
  return new ProtocolError(ProtocolErrorCode.InvalidParams, message);
}
