import { type HttpAnswer, http } from "./http.ts";

/** The server to send a message to, and the token to use. */
export interface Recipient {
  url: string;
  token: string;
}

/** Sends a message or any other text to /mcp, also what no client would. Returns the raw answer. */
export function postMcp(
  { url, token }: Recipient,
  message: unknown,
  headers: Record<string, string> = {},
): Promise<HttpAnswer> {
  return http(`${url}/mcp`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...headers,
    },
    body: typeof message === "string" ? message : JSON.stringify(message),
  });
}

export const rpc = (method: string, params: object = {}) => ({ jsonrpc: "2.0", id: 1, method, params });

/** Sends a call of revision 2026-07-28, in which each request names the client and its capabilities. */
export function postCall(
  recipient: Recipient,
  { name, ...call }: { name: string; arguments: object },
  client: { name: string; capabilities?: object },
): Promise<HttpAnswer> {
  const version = "2026-07-28";
  const message = rpc("tools/call", {
    name,
    ...call,
    _meta: {
      "io.modelcontextprotocol/protocolVersion": version,
      "io.modelcontextprotocol/clientInfo": { name: client.name, version: "1" },
      "io.modelcontextprotocol/clientCapabilities": client.capabilities ?? {},
    },
  });
  return postMcp(recipient, message, {
    "mcp-protocol-version": version,
    "mcp-method": "tools/call",
    "mcp-name": name,
  });
}
