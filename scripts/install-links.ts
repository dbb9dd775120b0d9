import packageJson from "../package.json" with { type: "json" };

/** The command with which clients start the published package over stdio, for the links and their test. */
export const publishedServer = { command: "npx", args: ["-y", packageJson.name, "stdio"] };

/** A page of Cursor's site that opens Cursor: code hosts remove links that begin with cursor://. */
export function cursorLink(): string {
  const config = Buffer.from(JSON.stringify(publishedServer)).toString("base64");
  return `https://cursor.com/en/install-mcp?${new URLSearchParams({ name: packageJson.name, config })}`;
}

/** A page of VS Code's site that opens VS Code, for the same reason. */
export function vscodeLink(): string {
  const config = encodeURIComponent(JSON.stringify(publishedServer));
  return `https://insiders.vscode.dev/redirect/mcp/install?name=${packageJson.name}&config=${config}`;
}
