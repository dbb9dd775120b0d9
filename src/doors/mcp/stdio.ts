import { randomBytes } from "node:crypto";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { Runtime } from "../../../tools/call/call.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { RateLimit } from "../../../tools/call/rate-limit.ts";
import type { Tool } from "../../../tools/call/tool.ts";
import type { Log } from "../../log/log.ts";
import { Confirmations } from "./confirmation.ts";
import { OpenedLinks } from "./opened-links.ts";
import { isClientFault } from "./protocol-errors.ts";
import { mcpServer } from "./server.ts";
import { StdioTransport } from "./stdio-transport.ts";

/** The connection to the one client that started this program. */
export interface StdioConnection {
  /** Resolves when the client has closed either pipe. */
  closed: Promise<void>;
  close(): Promise<void>;
}

/** Serves MCP, every revision that the SDK knows, on stdin and stdout. */
export function serveMcpStdio(
  runtime: Runtime,
  tools: readonly Tool[],
  principal: Principal,
  log: Log,
): StdioConnection {
  const parts = {
    runtime,
    tools,
    confirmations: new Confirmations(randomBytes(32)),
    links: new OpenedLinks(randomBytes(32)),
  };
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const warnings = new RateLimit(1);
  /** Logs one of each kind a minute: a client that never reads stderr would block the server once the pipe is full. */
  const refused = (reason: string) => {
    if (warnings.take(reason) === 0) log.warn(`refused a message on stdin: ${reason}`);
  };
  const transport = new StdioTransport(refused, resolve);
  const { close } = serveStdio(() => mcpServer(parts, principal), {
    transport,
    onerror: (error) =>
      isClientFault(error)
        ? refused("it does not fit the protocol revision, or the messages before it")
        : log.error("a message on stdin could not be served", error),
  });
  return { closed, close };
}
