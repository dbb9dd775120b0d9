import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import * as z from "zod";

/** The lower bound: the SDK's own server with a tool that does nothing, as in the SDK's documentation. */
serveStdio(() => {
  const server = new McpServer({ name: "empty", version: "1.0.0" });
  server.registerTool("empty", { description: "Does nothing.", inputSchema: z.object({}) }, async () => ({
    content: [{ type: "text", text: "" }],
  }));
  return server;
});
