import { MultiServerMCPClient } from "@langchain/mcp-adapters";
import { answer, question } from "./question.mjs";

const { server, calls } = await question();
const client = new MultiServerMCPClient({
  mcpServers: { "m25-mail": { transport: "url" in server ? "http" : "stdio", ...server } },
});
const tools = await client.getTools();
const results = [];
for (const { name, arguments: input } of calls) {
  const tool = tools.find((one) => one.name === name);
  // A LangChain agent shows its model the message of the error that a tool throws.
  results.push(await tool.invoke(input).catch((error) => ({ error: error.message })));
}
await client.close();
answer(results);
