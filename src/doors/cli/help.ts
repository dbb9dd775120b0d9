import { tools } from "../../../tools/index.ts";
import type { Tool } from "../../../tools/tool.ts";
import { environmentName, type FlagName, flags } from "../../config.ts";
import { inputSchema } from "../schema.ts";

export const serveFlags: readonly FlagName[] = [
  "db",
  "host",
  "port",
  "public-url",
  "allowed-hosts",
  "trusted-proxies",
  "read-only",
  "tls-cert",
  "tls-key",
  "limit-requests",
  "limit-passwords",
  "limit-destructive",
  "oauth",
  "oauth-clients",
  "hash-cost",
  "audit-retention",
  "purge-inactive-after",
  "log-format",
  "log-level",
];
export const storeFlags: readonly FlagName[] = ["db", "hash-cost"];
export const stdioFlags: readonly FlagName[] = [
  ...storeFlags,
  "read-only",
  "limit-destructive",
  "log-format",
  "log-level",
];

export function help(): string {
  return `m25-mail: mail domains and mailboxes, administered by assistants and people

  m25-mail serve                                 HTTP: MCP, REST, sync of the nodes, health
  m25-mail stdio                                 MCP over standard input and output
  m25-mail call ENDPOINT [--field value …]       one operation from the shell; --json for programs
  m25-mail token create NAME [--scopes read,write,destroy,nodes] [--domains a.nl,b.nl] [--expires 90d|2027-01-31]
  m25-mail token list | revoke NAME              access tokens for HTTP
  m25-mail node list | remove NAME | rotate-key NAME
  m25-mail node set NAME [--domains a.nl,b.nl|all] [--role mail|mx] [--ip CIDR|any]
  m25-mail node accept NAME | --all              let removals through that nodes withhold
  m25-mail user set-quota EMAIL MIB | restore EMAIL | purge EMAIL
  m25-mail audit [--since 7d] [--principal NAME]  who changed what, and who was refused; --json for programs
  m25-mail operator set-password                 for the page on which OAuth clients are allowed
  m25-mail oauth client add NAME --redirect-uri URI,…  |  list | remove NAME
  m25-mail oauth grants list | revoke ID         what OAuth clients were allowed
  m25-mail backup FILE | restore FILE            a consistent copy while running; and back

  m25-mail COMMAND --help                        more of one command
  m25-mail --version

Endpoints: ${tools.map((tool) => tool.endpoint).join(", ")}.
Passwords are read from standard input, a prompt, or --password-file FILE.

Flags, and the environment variables that stand for them:
${flagTable(serveFlags)}

Exit codes: 0 done, 1 refused, 2 wrong usage, 75 a temporary failure (run again).
`;
}

/** The help of one command, and of one endpoint after `call`. */
export function commandHelp(command: string, argument: string | undefined): string {
  const tool = tools.find(({ endpoint }) => command === "call" && endpoint === argument);
  if (tool !== undefined) return endpointHelp(tool);
  if (command === "serve") return `m25-mail serve\n\n${flagTable(serveFlags)}\n`;
  if (command === "stdio") return `m25-mail stdio\n\n${flagTable(stdioFlags)}\n`;
  return help();
}

function endpointHelp(tool: Tool): string {
  const { properties } = inputSchema(tool);
  const lines = Object.entries(properties).map(([name, { description = "", writeOnly, type }]) => {
    const flag = writeOnly
      ? "--password-file FILE"
      : `--${name.replaceAll("_", "-")}${type === "boolean" ? "" : " VALUE"}`;
    return `  ${flag.padEnd(24)} ${description}`;
  });
  return `m25-mail call ${tool.endpoint} [--json]\n\n${tool.description}\n\n${[...lines, flagTable(storeFlags)].join("\n")}\n`;
}

function flagTable(names: readonly FlagName[]): string {
  return names
    .map((name) => {
      const { placeholder, help: meaning } = flags[name];
      return `  ${`--${name} ${placeholder}`.trimEnd().padEnd(24)} ${environmentName(name).padEnd(24)} ${meaning}`;
    })
    .join("\n");
}
