import { readFileSync } from "node:fs";

/** The settings of the services of a server and of a node, as deploy/ installs them. */
export const serviceSettings = {
  server: "/etc/m25-mail/server.env",
  node: "/etc/m25-mail/node.env",
} as const;

/**
 * The variables that a service has from its file (systemd.exec(5), EnvironmentFile), so that commands typed beside it need no flags;
 * none if there is no file, or it may not be read.
 */
export function variablesIn(file: string): Record<string, string> {
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch {
    return {};
  }
  const lines = [...text.matchAll(/^\s*(M25_MAIL_\w+)=(.*?)\s*$/gm)];
  return Object.fromEntries(
    lines.map(([, name = "", value = ""]) => [name, value.replace(/^(["'])(.*)\1$/, "$2")]),
  );
}
