import { type HttpAnswer, http } from "./http.ts";

/** Whom a message goes to, and by which token. */
export interface Recipient {
  url: string;
  token: string;
}

/** Sends what no client would, or gives an answer as it came: a message to /mcp, or any other text. */
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

/** A call as of 2026-07-28, in which each request says again who the client is and what it can do. */
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
