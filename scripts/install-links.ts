import packageJson from "../package.json" with { type: "json" };

/** The server over stdio, as clients start the published package. The links and their test derive from it. */
export const publishedServer = { command: "npx", args: ["-y", packageJson.name, "stdio"] };

/** A page of Cursor's that opens Cursor: pages of code hosts drop links that begin with cursor://. */
export function cursorLink(): string {
  const config = Buffer.from(JSON.stringify(publishedServer)).toString("base64");
  return `https://cursor.com/en/install-mcp?${new URLSearchParams({ name: packageJson.name, config })}`;
}

/** A page of VS Code's that opens VS Code, for the same reason. */
export function vscodeLink(): string {
  const config = encodeURIComponent(JSON.stringify(publishedServer));
  return `https://insiders.vscode.dev/redirect/mcp/install?name=${packageJson.name}&config=${config}`;
}
