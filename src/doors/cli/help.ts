import { addDomain } from "../../../tools/add-domain.ts";
import { tools } from "../../../tools/index.ts";
import { mcpName, type Tool } from "../../../tools/tool.ts";
import { environmentName, type FlagName, flags } from "../../program/config.ts";
import { inputSchema } from "../schema.ts";
import { nameOf, passwordOption, type Usage, usages } from "./usage.ts";
import { atTheShell, flagName } from "./wording.ts";

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
export const stdioFlags: readonly FlagName[] = [
  "db",
  "read-only",
  "scopes",
  "domains",
  "limit-destructive",
  "hash-cost",
  "log-format",
  "log-level",
];
/** Of the commands that work on the database, and of those that set a password there. */
export const storeFlags: readonly FlagName[] = ["db"];
export const passwordFlags: readonly FlagName[] = ["db", "hash-cost"];

export function help(): string {
  return `m25-mail: mail domains and mailboxes, administered by assistants and people

${usages.map(line).join("\n")}

  m25-mail COMMAND --help                        more of one command, and the flags that it takes
  m25-mail --version

Endpoints: ${tools.map((tool) => tool.endpoint).join(", ")}.
Passwords are read from standard input, a prompt, or --password-file FILE.

Flags of serve, and the environment variables that stand for them; every command takes --db:
${flagTable(serveFlags)}

Exit codes: 0 done, 1 refused, 2 wrong usage, 74 the output could not be written, 75 a temporary failure (run again).
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
  const tool = command === "call" ? toolNamed(endpoint) : undefined;
  if (tool !== undefined) return endpointHelp(tool);
  const flag = argv.findIndex((word) => word.startsWith("-"));
  const words = `${argv.slice(0, flag < 0 ? undefined : flag).join(" ")} `;
  const meant = usages.filter((usage) => {
    const name = `${nameOf(usage)} `;
    return name.startsWith(words) || words.startsWith(name);
  });
  if (meant.length === 0) return help();
  const endpoints = command === "call" ? `${endpointTable()}\n\n` : "";
  return `${meant.map(usageHelp).join("\n")}\n${endpoints}${flagTable(flagsOf(command, meant))}\n`;
}

/**
 * The command that shows the help which fits best to a command line that is wrong.
 *
 * @param argv what stands on the command line
 */
export function helpAtHand([command = "", ...rest]: readonly string[]): string {
  if (toolNamed(command) !== undefined) return helpAtHand(["call", command]);
  if (command === "call" && toolNamed(rest[0]) !== undefined) return `m25-mail call ${rest[0]} --help`;
  const typed = `${[command, ...rest].join(" ")} `;
  const names = usages.map(nameOf).filter((name) => name.split(" ", 1)[0] === command);
  if (names.length === 0) return "m25-mail --help";
  return `m25-mail ${names.find((name) => typed.startsWith(`${name} `)) ?? command} --help`;
}

/** The operation of this name, which `call` runs. Assistants know the MCP tools: their names are good here too. */
export function toolNamed(word: string | undefined): Tool | undefined {
  return tools.find((tool) => tool.endpoint === word || mcpName(tool) === word);
}

/** The settings that a command takes on an operation. */
export function flagsFor(tool: Tool): readonly FlagName[] {
  return "password" in tool.input.shape ? passwordFlags : storeFlags;
}

/** Switches of an operation that only the shell has, with what they mean. */
export function switchesOf(tool: Tool): readonly (readonly [name: string, meaning: string])[] {
  return tool === addDomain
    ? [["public-provider", "register it though it is a public mail provider's, such as gmail.com"]]
    : [];
}

function flagsOf(command: string | undefined, meant: readonly Usage[]): readonly FlagName[] {
  if (command === "serve") return serveFlags;
  if (command === "stdio") return stdioFlags;
  const own = meant.flatMap(({ options = [] }) => options.map(([flag]) => flag));
  return own.includes(passwordOption[0]) ? passwordFlags : storeFlags;
}

function endpointTable(): string {
  const lines = tools.map(({ endpoint, title }) => `  ${endpoint.padEnd(24)} ${title}`);
  return `Endpoints; m25-mail call ENDPOINT --help tells the fields of one:\n${lines.join("\n")}`;
}

function usageHelp({ call, does, options = [] }: Usage): string {
  const lines = options.map(([flag, meaning]) => `  ${flag.padEnd(24)} ${meaning}\n`);
  return `m25-mail ${call}   ${does}\n${lines.join("")}`;
}

function endpointHelp(tool: Tool): string {
  const { properties } = inputSchema(tool);
  const lines = Object.entries(properties).map(([name, { description = "", writeOnly, type }]) => {
    const flag = writeOnly ? passwordOption[0] : `--${flagName(name)}${type === "boolean" ? "" : " VALUE"}`;
    return `  ${flag.padEnd(24)} ${description}`;
  });
  const own = switchesOf(tool).map(([name, meaning]) => `  ${`--${name}`.padEnd(24)} ${meaning}`);
  const flags = [...lines, ...own, flagTable(flagsFor(tool))].join("\n");
  return `m25-mail call ${tool.endpoint} [--json]\n\n${atTheShell(tool.description)}\n\n${flags}\n`;
}

function flagTable(names: readonly FlagName[]): string {
  return names
    .map((name) => {
      const { placeholder, help: meaning } = flags[name];
      return `  ${`--${name} ${placeholder}`.trimEnd().padEnd(24)} ${environmentName(name).padEnd(24)} ${meaning}`;
    })
    .join("\n");
}
