import type { Tool } from "../../../tools/call/tool.ts";
import { allTools } from "../../../tools/sets/index.ts";
import { environmentName, type Flags, flagUsage, inColumns } from "../../command-line/flags.ts";
import { type SettingUser, settingHelp, settingsOf } from "../../program/settings.ts";
import { exitCodes, exitMeanings } from "./exit.ts";
import { toolNamed, usageOf, withFields } from "./tool-usage.ts";
import { callOf, type Usage, usageFor, usages } from "./usage.ts";
import { atTheShell } from "./wording.ts";

/** Width of the commands' column in the general help. */
const WIDTH = 36;

export async function help(): Promise<string> {
  const tools = await allTools();
  return `m25-mail: mail domains and mailboxes, administered by assistants and people

${usages.map(line).join("\n")}

  m25-mail COMMAND --help                        help and flags of one command
  m25-mail --version

Endpoints: ${tools.map((tool) => tool.endpoint).join(", ")}.
Passwords are read from standard input, a prompt, or --password-file FILE.

Flags of serve, with their environment variables; every command takes --db:
${settingTable("serve")}

Exit codes: ${exitTable().join(", ")}.
`;
}

/** A command and its meaning in one line. */
function line(usage: Usage): string {
  return `  m25-mail ${callOf(usage).padEnd(WIDTH)}  ${usage.does}`;
}

function exitTable(): string[] {
  return Object.entries(exitMeanings).map(
    ([name, meaning]) => `${exitCodes[name as keyof typeof exitCodes]} ${meaning}`,
  );
}

/**
 * The help of one command, of all that begin with these words, or of one endpoint after `call`.
 *
 * @param argv the words of the command line; it need not be complete
 */
export async function commandHelp(argv: readonly string[]): Promise<string> {
  const [command, endpoint] = argv;
  const tool = command === "call" ? await toolNamed(endpoint) : undefined;
  if (tool !== undefined) return endpointHelp(tool);
  const flag = argv.findIndex((word) => word.startsWith("-"));
  const words = `${argv.slice(0, flag < 0 ? undefined : flag).join(" ")} `;
  const meant = usages.filter(({ name }) => `${name} `.startsWith(words) || words.startsWith(`${name} `));
  if (meant.length === 0) return help();
  const endpoints = command === "call" ? `${await endpointTable()}\n\n` : "";
  const full = await Promise.all(meant.map(withFields));
  return `${full.map(usageHelp).join("\n")}\n${endpoints}${settingTable(full[0]?.settings)}\n`;
}

/**
 * The command that shows the best help for a wrong command line.
 *
 * @param argv the words of the command line
 */
export async function helpAtHand(argv: readonly string[]): Promise<string> {
  const [command = "", endpoint] = argv;
  if ((await toolNamed(command)) !== undefined) return `m25-mail call ${command} --help`;
  if (command === "call" && (await toolNamed(endpoint)) !== undefined)
    return `m25-mail call ${endpoint} --help`;
  if (!usages.some(({ name }) => name.split(" ", 1)[0] === command)) return "m25-mail --help";
  return `m25-mail ${usageFor(argv)?.name ?? command} --help`;
}

async function endpointTable(): Promise<string> {
  const lines = (await allTools()).map(({ endpoint, title }) => `  ${endpoint.padEnd(24)} ${title}`);
  return `Endpoints; m25-mail call ENDPOINT --help shows the fields of one:\n${lines.join("\n")}`;
}

function usageHelp(usage: Usage): string {
  return `m25-mail ${callOf(usage)}   ${usage.does}\n${flagTable(usage.flags)}`;
}

function endpointHelp(tool: Tool): string {
  const usage = usageOf(tool);
  return `m25-mail ${usage.name}   ${usage.does}\n\n${atTheShell(tool.description)}\n\n${flagHelp(usage)}\n`;
}

/** All flags of a command, each on a line. */
export function flagHelp({ flags, settings }: Usage): string {
  return `${flagTable(flags)}${settingTable(settings)}`;
}

function flagTable(flags: Flags = {}): string {
  const rows = Object.entries(flags).map(([name, flag]) => [flagUsage(name, flag), flag.help]);
  return inColumns(rows)
    .map((row) => `${row}\n`)
    .join("");
}

function settingTable(user: SettingUser = "database"): string {
  const rows = Object.entries(settingsOf(user)).map(([name, setting]) => [
    flagUsage(name, setting),
    environmentName(name),
    settingHelp(setting),
  ]);
  return inColumns(rows).join("\n");
}
