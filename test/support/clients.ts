import { tmpdir } from "node:os";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { Client as ClassicClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as ClassicStdio } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport as ClassicHttp } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { onTestFinished } from "vitest";
import { ENTRY, environmentOf } from "./program.ts";

/** Real clients: the 1.x SDK's, and the 2.x SDK's speaking revision 2025 or 2026-07-28. */
export const clientKinds = ["1.x", "2.x legacy", "2.x 2026-07-28"] as const;

export type ClientKind = (typeof clientKinds)[number];
export type McpClient = Client | ClassicClient;

/** How the person at the client answers a form. */
export type Answer = (question: string) => {
  action: "accept" | "decline" | "cancel";
  content?: Record<string, string | number | boolean>;
};

/** A person at a client with these capabilities of elicitation. An Answer alone stands for forms. */
export interface Person {
  capabilities: { elicitation: { form?: Record<string, never>; url?: Record<string, never> } };
  answer(asked: { message: string; url?: string | undefined }): ReturnType<Answer>;
}

const self = { name: "test", version: "1" };

function modernClient(kind: ClientKind, asked: Answer | Person | undefined): Client {
  const mode = kind === "2.x legacy" ? "legacy" : { pin: "2026-07-28" };
  const person = personOf(asked, { form: {} });
  const client = new Client(self, {
    versionNegotiation: { mode },
    capabilities: person?.capabilities ?? {},
  });
  if (person !== undefined)
    client.setRequestHandler("elicitation/create", ({ params }) => person.answer(params));
  return client;
}

function classicClient(asked: Answer | Person | undefined): ClassicClient {
  const person = personOf(asked, {});
  const client = new ClassicClient(self, { capabilities: person?.capabilities ?? {} });
  if (person !== undefined)
    client.setRequestHandler(ElicitRequestSchema, ({ params }) => person.answer(params));
  return client;
}

function personOf(
  asked: Answer | Person | undefined,
  elicitation: { form?: Record<string, never> },
): Person | undefined {
  if (typeof asked !== "function") return asked;
  return { capabilities: { elicitation }, answer: ({ message }) => asked(message) };
}

/** Returns a client connected over HTTP until the test ends. With `answer` it can show forms to a person. */
export async function connectHttp(
  kind: ClientKind,
  url: string,
  token: string,
  answer?: Answer | Person,
): Promise<McpClient> {
  const address = new URL(`${url}/mcp`);
  const options = { requestInit: { headers: { authorization: `Bearer ${token}` } } };
  if (kind === "1.x") {
    const client = classicClient(answer);
    await client.connect(new ClassicHttp(address, options));
    return closed(client);
  }
  const client = modernClient(kind, answer);
  await client.connect(new StreamableHTTPClientTransport(address, options));
  return closed(client);
}

/** Returns a client that started `m25-mail stdio` itself. `stderr` receives what the server writes there. */
export async function connectStdio(
  kind: ClientKind,
  database: string,
  stderr: string[] = [],
  environment: Record<string, string> = {},
  answer?: Answer | Person,
): Promise<McpClient> {
  const program = {
    command: process.execPath,
    args: [ENTRY, "stdio", "--db", database],
    env: environmentOf(environment),
    stderr: "pipe" as const,
  };
  if (kind === "1.x") {
    const transport = new ClassicStdio(program);
    transport.stderr?.on("data", (chunk) => stderr.push(String(chunk)));
    const client = classicClient(answer);
    await client.connect(transport);
    return closed(client);
  }
  const transport = new StdioClientTransport(program);
  transport.stderr?.on("data", (chunk) => stderr.push(String(chunk)));
  const client = modernClient(kind, answer);
  await client.connect(transport);
  return closed(client);
}

/** Returns a client that started an installed server as hosts do, by its command, outside the checkout. */
export async function connectCommand(
  command: string,
  args: string[],
  env: Record<string, string>,
  cwd = tmpdir(),
): Promise<McpClient> {
  const transport = new StdioClientTransport({ command, args, env, cwd, stderr: "ignore" });
  const client = modernClient("2.x legacy", undefined);
  await client.connect(transport);
  return closed(client);
}

function closed<C extends McpClient>(client: C): C {
  onTestFinished(() => client.close());
  return client;
}

/** A tool's answer, as every client sees it. */
export interface ToolAnswer {
  content: Array<{ type: string; text: string }>;
  structuredContent?: Record<string, unknown>;
  isError?: boolean;
}

export async function callTool(
  client: McpClient,
  endpoint: string,
  input: unknown = {},
): Promise<ToolAnswer> {
  const name = `m25_mail_${endpoint.replaceAll("-", "_")}`;
  const answer = await client.callTool({ name, arguments: input as Record<string, unknown> });
  return answer as unknown as ToolAnswer;
}
