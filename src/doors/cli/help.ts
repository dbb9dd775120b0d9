import { tools } from "../../../tools/index.ts";
import type { Tool } from "../../../tools/tool.ts";
import { environmentName, type FlagName, flags } from "../../config.ts";
import { inputSchema } from "../schema.ts";
import { nameOf, type Usage, usages } from "./usage.ts";
import { flagName } from "./wording.ts";

/** Of the column of calls in the general help. */
const WIDTH = 36;

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

${usages.map(line).join("\n")}

  m25-mail COMMAND --help                        more of one command
  m25-mail --version

Endpoints: ${tools.map((tool) => tool.endpoint).join(", ")}.
Passwords are read from standard input, a prompt, or --password-file FILE.

Flags, and the environment variables that stand for them:
${flagTable(serveFlags)}

Exit codes: 0 done, 1 refused, 2 wrong usage, 75 a temporary failure (run again).
`;
}

/** A command, and what it does, in one line where there is room. */
function line(usage: Usage): string {
  return `  m25-mail ${usage.call.padEnd(WIDTH)}  ${usage.does}`;
}

/**
 * The help of one command, of those that begin with these words, and of one endpoint after `call`.
 *
 * @param argv what stands on the command line; it need not be complete
 */
export function commandHelp(argv: readonly string[]): string {
  const [command, endpoint] = argv;
  const tool = tools.find((candidate) => command === "call" && candidate.endpoint === endpoint);
  if (tool !== undefined) return endpointHelp(tool);
  const flag = argv.findIndex((word) => word.startsWith("-"));
  const words = `${argv.slice(0, flag < 0 ? undefined : flag).join(" ")} `;
  const meant = usages.filter((usage) => {
    const name = `${nameOf(usage)} `;
    return name.startsWith(words) || words.startsWith(name);
  });
  if (meant.length === 0) return help();
  const settings = command === "serve" ? serveFlags : command === "stdio" ? stdioFlags : storeFlags;
  return `${meant.map(usageHelp).join("\n")}\n${flagTable(settings)}\n`;
}

/**
 * The command that shows the help which fits best to a command line that is wrong.
 *
 * @param argv what stands on the command line
 */
export function helpAtHand([command = "", ...rest]: readonly string[]): string {
  if (isEndpoint(command)) return helpAtHand(["call", command]);
  if (command === "call" && isEndpoint(rest[0])) return `m25-mail call ${rest[0]} --help`;
  const typed = `${[command, ...rest].join(" ")} `;
  const names = usages.map(nameOf).filter((name) => name.split(" ", 1)[0] === command);
  if (names.length === 0) return "m25-mail --help";
  return `m25-mail ${names.find((name) => typed.startsWith(`${name} `)) ?? command} --help`;
}

/** True for the name of an operation, which `call` runs. */
export function isEndpoint(word: string | undefined): boolean {
  return tools.some((tool) => tool.endpoint === word);
}

function usageHelp({ call, does, options = [] }: Usage): string {
  const lines = options.map(([flag, meaning]) => `  ${flag.padEnd(24)} ${meaning}\n`);
  return `m25-mail ${call}   ${does}\n${lines.join("")}`;
}

function endpointHelp(tool: Tool): string {
  const { properties } = inputSchema(tool);
  const lines = Object.entries(properties).map(([name, { description = "", writeOnly, type }]) => {
    const flag = writeOnly
      ? "--password-file FILE"
      : `--${flagName(name)}${type === "boolean" ? "" : " VALUE"}`;
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
