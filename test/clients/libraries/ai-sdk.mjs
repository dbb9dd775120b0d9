import { createMCPClient } from "@ai-sdk/mcp";
import { Experimental_StdioMCPTransport as Stdio } from "@ai-sdk/mcp/mcp-stdio";
import { answer, question } from "./question.mjs";

const { server, calls } = await question();
const transport =
  "url" in server ? { type: "http", url: server.url, headers: server.headers } : new Stdio(server);
const client = await createMCPClient({ transport });
const tools = await client.tools();
const results = [];
for (const [index, { name, arguments: input }] of calls.entries())
  results.push(await tools[name].execute(input, { toolCallId: String(index), messages: [] }));
await client.close();
answer(results);
