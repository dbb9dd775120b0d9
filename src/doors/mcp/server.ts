import {
  type CallToolResult,
  CLIENT_INFO_META_KEY,
  type Implementation,
  type InputRequiredResult,
  type Tool as McpTool,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type ServerContext,
} from "@modelcontextprotocol/server";
import { toolsFor } from "../../../tools/call/authorise.ts";
import { call, lossOf, type Origin, type Runtime, unconfirmed } from "../../../tools/call/call.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { mcpName, type Tool } from "../../../tools/call/tool.ts";
import { MailError } from "../../mail/error.ts";
import { version } from "../../program/version.ts";
import { clientName } from "../client-name.ts";
import { plainArguments } from "../input.ts";
import { wordedResult } from "../result.ts";
import { inputSchema, outputSchema } from "../schema.ts";
import { type Confirmations, canAsk, canOpen } from "./confirmation.ts";
import { instructionsFor } from "./instructions.ts";
import type { OpenedLinks } from "./opened-links.ts";
import { answerCalls, answerLists, type ToolRequest } from "./requests.ts";
import { overMcp } from "./wording.ts";

/** The parts that all connections of a process share. */
export interface McpParts {
  runtime: Runtime;
  /** The tools on offer. */
  tools: readonly Tool[];
  confirmations: Confirmations;
  links: OpenedLinks;
}

/** One client's connection; over HTTP it lasts for a request. */
export interface Connection {
  server: Server;
  principal: Principal;
  origin: Origin;
}

/** Made at first use: the start must stay fast. */
const advertised = new WeakMap<Tool, McpTool>();

/** The answer to tools/list; the same bytes at each call. */
export function advertisedTools(tools: readonly Tool[]): McpTool[] {
  return tools.map((tool) => {
    const made = advertised.get(tool) ?? advertisement(tool);
    advertised.set(tool, made);
    return made;
  });
}

function advertisement(tool: Tool): McpTool {
  return {
    name: mcpName(tool),
    title: tool.title,
    description: overMcp(tool.description),
    inputSchema: inputSchema(tool) as McpTool["inputSchema"],
    outputSchema: outputSchema(tool) as McpTool["outputSchema"],
    annotations: annotations(tool),
  };
}

function annotations({ effect, replaces }: Tool): McpTool["annotations"] {
  return {
    readOnlyHint: effect === "read",
    destructiveHint: effect === "destroy" || replaces,
    // A second read or replacement changes nothing; a second addition or removal for good is an error.
    idempotentHint: effect === "read" || replaces,
    openWorldHint: false,
  };
}

/**
 * An MCP server for one connection or one request. It advertises the tools' schemas but leaves all checks of
 * input to call(), so that every door gives the same refusal, with its hint.
 */
export function mcpServer(parts: McpParts, principal: Principal, origin: Origin = {}): Server {
  const usable = toolsFor(principal, parts.tools);
  const server = new Server(
    { name: "m25-mail", title: "M25 Mail", version },
    { capabilities: { tools: {} }, instructions: instructionsFor(usable, principal, parts.runtime.settings) },
  );
  answerLists(server, () => advertisedTools(usable));
  answerCalls(server, (asked, context) => callTool(parts, { server, principal, origin }, asked, context));
  return server;
}

/**
 * @param params `arguments` may be anything
 * @throws ProtocolError for a name that no tool has; every other refusal is a result with isError
 */
export async function callTool(
  { runtime, tools, confirmations, links }: McpParts,
  { server, principal, origin }: Connection,
  params: ToolRequest,
  context: ServerContext,
): Promise<CallToolResult | InputRequiredResult> {
  const from = { ...origin, client: clientOf(server, context) ?? origin.client };
  const tool = tools.find((candidate) => mcpName(candidate) === params.name);
  if (tool === undefined) {
    runtime.observe?.({ ...from, tool: "none", principal, outcome: "unknown_tool", ms: 0 });
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no such tool. The tools are: ${tools.map(mcpName).join(", ")}.`,
    );
  }
  const asked = { principal, tool, input: plainArguments(tool, params.arguments), origin: from };
  if (tool.effect === "destroy" && canAsk(context, server.getClientCapabilities())) {
    const loss = await lossOf(runtime, asked).catch(expectedFailure);
    if (loss instanceof MailError) return refusal(loss);
    const answer = loss === undefined ? "confirmed" : await confirmations.confirm(loss, context);
    if (answer === "declined" || answer === "cancelled") {
      return refusal(await unconfirmed(runtime, asked, answer));
    }
    if (answer !== "confirmed") return answer;
  }
  // The client opens a result's link for the person, then calls again: that call gets the first one's result.
  const opens = "url" in tool.output.shape && canOpen(context, server.getClientCapabilities());
  const opened = opens ? await links.end(context) : undefined;
  if (opened !== undefined) return resultOf(opened);
  const outcome = await call(runtime, asked);
  if (!outcome.ok) return refusal(outcome.error);
  const result = wordedResult(outcome.value, overMcp);
  return opens ? links.begin(result) : resultOf(result);
}

function resultOf(result: Record<string, unknown>): CallToolResult {
  return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: result };
}

/** @throws anything that is not a MailError */
function expectedFailure(error: unknown): MailError {
  if (error instanceof MailError) return error;
  throw error;
}

function refusal({ code, detail, hint }: MailError): CallToolResult {
  return { content: [{ type: "text", text: `${code}: ${overMcp(detail)} ${overMcp(hint)}` }], isError: true };
}

/** Since 2026-07-28 each request names its client. Earlier revisions name it in a connection's first request only. */
function clientOf(server: Server, { mcpReq }: ServerContext): string | undefined {
  const envelope = mcpReq.envelope as { [CLIENT_INFO_META_KEY]?: Implementation } | undefined;
  const named = envelope?.[CLIENT_INFO_META_KEY] ?? server.getClientVersion();
  return clientName(named?.name);
}
