import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Runtime } from "../../../tools/call.ts";
import { operator } from "../../../tools/principal.ts";
import type { Tool } from "../../../tools/tool.ts";
import type { Log } from "../../log.ts";
import { Confirmations } from "./confirmation.ts";
import { mcpServer } from "./server.ts";

/** The connection to the one client that started this program. */
export interface StdioConnection {
  /** Resolves when the client is gone, in whatever way: its end of either pipe, or a message beyond all bounds. */
  closed: Promise<void>;
  close(): Promise<void>;
}

/** Serves MCP, every revision that the SDK knows, on stdin and stdout. */
export function serveMcpStdio(runtime: Runtime, tools: readonly Tool[], log: Log): StdioConnection {
  const parts = { runtime, tools, confirmations: new Confirmations() };
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
