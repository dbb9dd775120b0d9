import {
  type CallToolRequestParams,
  type CallToolResult,
  CLIENT_INFO_META_KEY,
  type Implementation,
  type Tool as McpTool,
  ProtocolError,
  ProtocolErrorCode,
  Server,
} from "@modelcontextprotocol/server";
import { call, type Origin, type Runtime } from "../../../tools/call.ts";
import { tools } from "../../../tools/index.ts";
import type { Principal } from "../../../tools/principal.ts";
import { mcpName, type Tool } from "../../../tools/tool.ts";
import { version } from "../../version.ts";
import { clientName } from "../client-name.ts";
import { inputSchema, outputSchema } from "../schema.ts";

const INSTRUCTIONS = `M25 Mail administers e-mail domains and mailboxes that real mail servers (nodes) serve.
To create a mailbox: m25_mail_add_domain once for its domain, then m25_mail_add_user. Changes are live on the nodes within a minute: m25_mail_list_nodes shows each node's applied_revision, to compare with the revision that a change returned.
m25_mail_remove_user is reversible unless hard_delete is true; m25_mail_remove_domain is not. Confirm those two with the person you work for.
Every error names its cause and what to do next. Never repeat a password or a sync key except to the person who needs it.`;

const byName = new Map(tools.map((tool) => [mcpName(tool), tool]));

let advertised: McpTool[] | undefined;

/** What tools/list answers; the same bytes at each call. Made when first asked for: starting must stay fast. */
export function advertisedTools(): McpTool[] {
  advertised ??= tools.map((tool) => ({
    name: mcpName(tool),
    title: tool.title,
    description: tool.description,
    inputSchema: inputSchema(tool) as McpTool["inputSchema"],
    outputSchema: outputSchema(tool) as McpTool["outputSchema"],
    annotations: annotations(tool),
  }));
  return advertised;
}

function annotations(tool: Tool): McpTool["annotations"] {
  return {
    title: tool.title,
    readOnlyHint: tool.effect === "read",
    destructiveHint: tool.effect === "destroy",
    // Reading or removing twice is reading or removing once; adding twice is an error.
    idempotentHint: tool.effect !== "write",
    openWorldHint: false,
  };
}

/**
 * An MCP server for one connection or one request. It advertises the tools' schemas but leaves all judging of
 * input to call(), so that a caller gets the same refusal, with its hint, by every door.
 */
export function mcpServer(runtime: Runtime, principal: Principal, origin: Origin = {}): Server {
  const server = new Server(
    { name: "m25-mail", title: "M25 Mail", version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );
  server.setRequestHandler("tools/list", () => ({ tools: advertisedTools() }));
  server.setRequestHandler("tools/call", ({ params }, { mcpReq }) => {
    // As of 2026-07-28 each request names its client; before, the first one did, which over HTTP is another one.
    const envelope = mcpReq.envelope as { [CLIENT_INFO_META_KEY]?: Implementation } | undefined;
    const named = envelope?.[CLIENT_INFO_META_KEY] ?? server.getClientVersion();
    const client = clientName(named?.name) ?? origin.client;
    return callTool(runtime, principal, params, { ...origin, client });
  });
  return server;
}

/** @throws ProtocolError for a name that no tool has; every other refusal is a result with isError */
export async function callTool(
  runtime: Runtime,
  principal: Principal,
  params: CallToolRequestParams,
  origin: Origin = {},
): Promise<CallToolResult> {
  const tool = byName.get(params.name);
  if (tool === undefined) {
    const known = [...byName.keys()].join(", ");
    throw new ProtocolError(
      ProtocolErrorCode.InvalidParams,
      `There is no such tool. The tools are: ${known}.`,
    );
  }
  const outcome = await call(runtime, principal, tool, params.arguments, origin);
  if (!outcome.ok) {
    const { code, message, hint } = outcome.error;
    return { content: [{ type: "text", text: `${code}: ${message} ${hint}` }], isError: true };
  }
  return {
    content: [{ type: "text", text: JSON.stringify(outcome.value) }],
    structuredContent: outcome.value,
  };
}
