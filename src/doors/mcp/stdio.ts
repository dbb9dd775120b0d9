import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Runtime } from "../../../tools/call.ts";
import { operator } from "../../../tools/principal.ts";
import type { Log } from "../../log.ts";
import { mcpServer } from "./server.ts";

/** Serves MCP, every revision that the SDK knows, on stdin and stdout. */
export function serveMcpStdio(runtime: Runtime, log: Log): { close(): Promise<void> } {
  return serveStdio(() => mcpServer(runtime, operator("stdio")), {
    onerror: (error) => log.error("a message on stdin could not be served", error),
  });
}
