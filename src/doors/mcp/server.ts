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
import { mcpName, type Settings, type Tool } from "../../../tools/call/tool.ts";
import { listNodes } from "../../../tools/list-nodes.ts";
import { MailError } from "../../mail/error.ts";
import { version } from "../../program/version.ts";
import { clientName } from "../client-name.ts";
import { plainArguments } from "../input.ts";
import { wordedResult } from "../result.ts";
import { inputSchema, outputSchema } from "../schema.ts";
import { type Confirmations, canAsk } from "./confirmation.ts";
import { answerCalls, answerLists, type Called } from "./requests.ts";
import { overMcp } from "./wording.ts";

/** The parts that all connections of a process share. */
export interface McpParts {
  runtime: Runtime;
  /** The tools on offer. */
  tools: readonly Tool[];
  confirmations: Confirmations;
}

/** One client's connection; over HTTP it lasts for a request. */
export interface Connection {
  server: Server;
  principal: Principal;
  origin: Origin;
}

const SUBJECT = "on real mail servers (nodes), with M25 Mail.";

const NOT_KNOWN =
  "Not known here: mail servers' names and ports, DNS records, spam filters, delivery logs, space used, last logins. Say so and name the operator, who runs the server; do not guess.";

const READ_ONLY = `List and find e-mail domains, mailboxes (users, accounts), their quota and status, ${SUBJECT}
Here you can only look: for a change, send the person to the operator.
${NOT_KNOWN}`;

/** Hosts that hide tools behind a search show this line alone: it has the words that people search for. */
const FIRST_LINE = `Create a mailbox (e-mail account, user) with its quota, reset a password, delete, restore, list and find mailboxes and e-mail domains, ${SUBJECT}`;

const OF_ALL_DOMAINS =
  "Call no change live before m25_mail_list_nodes shows it: a node's applied_revision reaches the change's revision within a minute. You cannot wait for that and report later.";

const WITHOUT_NODES = "A change is live within a minute, unless its result has a note.";

const OF_SOME_DOMAINS = `${WITHOUT_NODES} Your access is for some domains only: others, and the nodes, are the operator's.`;

/** The server's instructions, which a model reads first. */
function instructionsFor(
  tools: readonly Tool[],
  { domains }: Principal,
  { purgeInactiveAfter: days }: Settings = {},
): string {
  if (tools.every(({ effect }) => effect === "read")) return READ_ONLY;
  return `${FIRST_LINE}
To create a mailbox: m25_mail_add_domain once for its domain, then m25_mail_add_user. A domain with letters such as ü is shown in its form xn--…; either form works, for a login too. ${liveOn(tools, domains)}
Ask the person before hard_delete: true and m25_mail_remove_domain, unless they have already said that it is for good: neither can be undone. m25_mail_remove_user without it can be (m25_mail_add_user)${days === undefined ? "" : `, for ${days} days`}. Nothing else has an undo: a replaced password is gone. Ask too before you change several passwords, and when a name fits several mailboxes.
Only the operator, at the server's shell, can change a quota, restore a removed mailbox with the password it had, tell who changed what, limit or remove a node, or give others access, to some domains or all (m25-mail user set-quota, user restore, audit, node set, node remove, token create): say so, and never remove and re-create a mailbox for it. The operator may be the person you talk to.
There are no renaming, aliases, forwarding, catch-alls, autoresponders or fetching from other providers: say so, and make no mailbox instead unless the person then asks for one. ${NOT_KNOWN}
Errors, notes and hints say what to do next. Never repeat a password or a sync key except to the person who needs it.`;
}

function liveOn(tools: readonly Tool[], domains: Principal["domains"]): string {
  if (domains !== undefined) return OF_SOME_DOMAINS;
  return tools.includes(listNodes) ? OF_ALL_DOMAINS : WITHOUT_NODES;
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
  answerCalls(server, (called, context) => callTool(parts, { server, principal, origin }, called, context));
  return server;
}

/**
 * @param params `arguments` may be anything
 * @throws ProtocolError for a name that no tool has; every other refusal is a result with isError
 */
export async function callTool(
  { runtime, tools, confirmations }: McpParts,
  { server, principal, origin }: Connection,
  params: Called,
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
    const loss = await lossOf(runtime, asked).catch(refused);
    if (loss instanceof MailError) return refusal(loss);
    const answer = loss === undefined ? "confirmed" : await confirmations.confirm(loss, context);
    if (answer === "declined" || answer === "cancelled") {
      return refusal(await unconfirmed(runtime, asked, answer));
    }
    if (answer !== "confirmed") return answer;
  }
  const outcome = await call(runtime, asked);
  if (!outcome.ok) return refusal(outcome.error);
  const result = wordedResult(outcome.value, overMcp);
  return { content: [{ type: "text", text: JSON.stringify(result) }], structuredContent: result };
}

function refused(error: unknown): MailError {
  if (error instanceof MailError) return error;
  throw error;
}

function refusal({ code, detail, hint }: MailError): CallToolResult {
  return { content: [{ type: "text", text: `${code}: ${overMcp(detail)} ${overMcp(hint)}` }], isError: true };
}

/** Since 2026-07-28 each request names its client. Earlier only a connection's first request did, lost over HTTP. */
function clientOf(server: Server, { mcpReq }: ServerContext): string | undefined {
  const envelope = mcpReq.envelope as { [CLIENT_INFO_META_KEY]?: Implementation } | undefined;
  const named = envelope?.[CLIENT_INFO_META_KEY] ?? server.getClientVersion();
  return clientName(named?.name);
}
