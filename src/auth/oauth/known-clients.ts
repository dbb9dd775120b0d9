/**
 * Client ID Metadata Documents of clients that many operators use; a document's address is the client id. The
 * addresses come from the clients themselves or their makers' documentation, November 2026. Cursor and Gemini CLI
 * have none. Codex and ChatGPT have another document per server, for authorization servers without `iss`
 * (RFC 9207); this one sends it.
 */
export const knownClients: readonly string[] = [
  "https://claude.ai/oauth/mcp-oauth-client-metadata",
  "https://claude.ai/oauth/claude-code-client-metadata",
  "https://chatgpt.com/oauth/client.json",
  "https://chatgpt.com/oauth/codex/client.json",
  "https://vscode.dev/oauth/client-metadata.json",
  "https://insiders.vscode.dev/oauth/client-metadata.json",
  "https://github.com/copilot/cli/client-metadata.json",
  "https://zed.dev/oauth/client-metadata.json",
  "https://goose-docs.ai/oauth/client-metadata.json",
  "https://opencode.ai/oauth/opencode/client.json",
];
