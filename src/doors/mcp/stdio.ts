import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import { operator } from "../../../tools/principal.ts";
import type { Log } from "../../log.ts";
import { type McpParts, mcpServer } from "./server.ts";

/** The connection to the one client that started this program. */
export interface StdioConnection {
  /** Resolves when the client is gone, in whatever way: its end of either pipe, or a message beyond all bounds. */
  closed: Promise<void>;
  close(): Promise<void>;
}

/** Serves MCP, every revision that the SDK knows, on stdin and stdout. */
export function serveMcpStdio(parts: McpParts, log: Log): StdioConnection {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const transport = new (class extends StdioServerTransport {
    override async close(): Promise<void> {
      await super.close();
      resolve();
    }
  })();
  const { close } = serveStdio(() => mcpServer(parts, operator("stdio")), {
    transport,
    onerror: (error) => log.error("a message on stdin could not be served", error),
  });
  return { closed, close };
}
