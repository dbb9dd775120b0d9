/**
 * Client ID Metadata Documents of clients that many operators use, each at the address that is its client id.
 * Each address stands in the client itself or is what its maker documents; seen in November 2026. Cursor and Gemini CLI
 * have none. Codex and ChatGPT have a further document for each server, for authorization servers that send no `iss`
 * (RFC 9207): this one sends it.
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
