import { Agent, MCPServerStdio, MCPServerStreamableHttp, run, setTracingDisabled } from "@openai/agents";
import { answer, question } from "./question.mjs";

const { server } = await question();
setTracingDisabled(true);
const mcp =
  "url" in server
    ? new MCPServerStreamableHttp({
        name: "m25-mail",
        url: server.url,
        requestInit: { headers: server.headers },
      })
    : new MCPServerStdio({ name: "m25-mail", ...server });
await mcp.connect();
const agent = new Agent({ name: "operator", model: "scripted", mcpServers: [mcp] });
const { finalOutput } = await run(agent, "Add a mailbox for Jan.");
await mcp.close();
answer([finalOutput]);
