/** Client ID Metadata Documents of clients that many operators use, each at the address that is its client id. */
export const knownClients: readonly string[] = [
  "https://claude.ai/oauth/mcp-oauth-client-metadata",
  "https://claude.ai/oauth/claude-code-client-metadata",
  "https://chatgpt.com/oauth/client.json",
  "https://vscode.dev/oauth/client-metadata.json",
];
