/** Generates the pages of docs/reference from the code that they describe. */
import { environmentName, flagUsage } from "../src/command-line/flags.ts";
import { exitCodes, exitMeanings } from "../src/doors/cli/exit.ts";
import { usageOf } from "../src/doors/cli/tool-usage.ts";
import { callOf, json, type Usage, usages } from "../src/doors/cli/usage.ts";
import { statuses } from "../src/doors/http/problem.ts";
import { restRequest } from "../src/doors/http/wording.ts";
import { overMcp } from "../src/doors/mcp/wording.ts";
import { type FieldSchema, inputSchema, outputSchema } from "../src/doors/schema.ts";
import { Metrics } from "../src/log/metrics.ts";
import { exitCodes as nodeExitCodes, exitMeanings as nodeExitMeanings } from "../src/node/faults.ts";
import { help as nodeHelp } from "../src/node/help.ts";
import { settingHelp, settings, settingsOf } from "../src/program/settings.ts";
import { mcpName, type Tool } from "../tools/call/tool.ts";
import { tools } from "../tools/index.ts";
import type { Figures } from "../tools/operator/read-figures.ts";
import { allTools, setNames, toolsOf } from "../tools/sets/index.ts";

const GENERATED = "<!-- Written by npm run gen: change the code, not this page. -->";

const PEOPLE = "needs the set [`people`](../people.md)";

/** The nine tools in one table, for README. */
export function toolTable(): string {
  const rows = tools.map((tool) => {
    const results = Object.keys(outputSchema(tool).properties).join(", ");
    return [`\`${mcpName(tool)}\``, `\`${restRequest(tool)}\``, inputNames(tool), results];
  });
  return table(["tool", "REST", "input", "result"], rows);
}

/** Each page's text by its name. */
export async function referencePages(): Promise<Record<string, string>> {
  return {
    "tools.md": page(
      "Tools",
      "Required fields are bold. The tools that an operator turns on have [a page of their own](tool-sets.md).",
      ...tools.map((tool) => toolSection(tool)),
    ),
    "tool-sets.md": page(
      "Tools in sets",
      "Tools that an operator [turns on](../assistants.md#more-tools). Required fields are bold.",
      ...(await ofSets()).map(([set, tool]) => toolSection(tool, set)),
    ),
    "rest.md": await restPage(),
    "command-line.md": await commandLinePage(),
    "node-command-line.md": page("The command `m25-mail-node`", fence(nodeHelp)),
    "settings.md": settingsPage(),
    "exit-codes.md": exitCodesPage(),
    "metrics.md": await metricsPage(),
  };
}

async function ofSets(): Promise<Array<[set: string, tool: Tool]>> {
  const sets = await Promise.all(
    setNames.map(async (set) => (await toolsOf([set])).map((tool): [string, Tool] => [set, tool])),
  );
  return sets.flat();
}

function toolSection(tool: Tool, set?: string): string {
  const input = inputSchema(tool);
  const inputs = fields(input.properties, input.required ?? []);
  return paragraphs([
    `## ${mcpName(tool)}`,
    overMcp(tool.description),
    ...(set === undefined ? [] : [`Set: \`--tools ${set}\`.`]),
    `REST: \`${restRequest(tool)}\`. Shell: \`m25-mail call ${tool.endpoint}\`.`,
    inputs.length === 0 ? "It takes no input." : table(["input", "type", "meaning"], inputs),
    table(["result", "type", "meaning"], fields(outputSchema(tool).properties, [])),
  ]);
}

/** A row for each field. The fields of an array's objects follow it, as `users[].email`. */
function fields(
  properties: Record<string, FieldSchema>,
  required: readonly string[],
  within = "",
): string[][] {
  return Object.entries(properties).flatMap(([name, schema]) => {
    const row = [
      required.includes(name) ? `**${name}**` : `${within}${name}`,
      typeOf(schema),
      schema.description ?? schema.anyOf?.[0]?.description ?? "",
    ];
    return [row, ...fields(schema.items?.properties ?? {}, [], `${within}${name}[].`)];
  });
}

function typeOf({ type, anyOf, enum: values, items }: FieldSchema): string {
  if (anyOf !== undefined) return anyOf.map(typeOf).join(" or ");
  if (values !== undefined) return values.join(", ");
  return items === undefined ? String(type ?? "") : `array of ${typeOf(items)}s`;
}

async function restPage(): Promise<string> {
  const all = [...tools, ...(await ofSets()).map(([, tool]) => tool)];
  const endpoints = all.map((tool) => [`\`${restRequest(tool)}\``, `\`${mcpName(tool)}\``, tool.title]);
  const others = [
    ["`GET /api/openapi.json`", "the REST API as OpenAPI 3.1, for the caller's token"],
    ["`POST /mcp`", "MCP over HTTP"],
    ["`GET /`", "[the operator's page](../server.md#see-it-in-a-browser), for browsers"],
    ["`/password/…`", `where a password link leads; ${PEOPLE}`],
    ["`/owner/`", `the page of a mailbox's owner; ${PEOPLE} and \`--public-url\``],
    ["`GET /healthz`", "tells whether the server and its database work; no token"],
    ["`GET /metrics`", "[metrics](metrics.md) for Prometheus"],
    ["`/sync/v1/…`", "the nodes' [protocol](../protocol.md)"],
  ];
  return page(
    "REST",
    "Send `Authorization: Bearer TOKEN`. GET takes its input as query parameters, POST as a JSON object of at most 64 KiB.\n" +
      "The input and the result of each operation are those of its [tool](tools.md). Refusals are problem details (RFC 9457):\n" +
      "see [error codes](exit-codes.md#error-codes).",
    table(["request", "tool", "what it does"], endpoints),
    "## Other paths",
    table(["path", "what is there"], others),
  );
}

async function commandLinePage(): Promise<string> {
  const calls = usages.map((usage) => [`\`m25-mail ${callOf(usage)}\``, usage.does]);
  const without = usages
    .filter(({ flags = {} }) => !("json" in flags))
    .map((usage) => `\`${callOf(usage)}\``);
  return page(
    "The command `m25-mail`",
    "`m25-mail COMMAND --help` shows the same at the shell. Each command takes `--db FILE`; [Settings](settings.md) has the flags of\n" +
      "`serve` and `stdio`. An ENDPOINT is a tool's name without `m25_mail_`, with hyphens: its flags are below.",
    table(["command", "what it does"], calls),
    "## Flags",
    `All commands but ${without.join(", ")} take \`--json\`: the result as JSON, for programs.`,
    table(["command", "flag", "meaning"], flagRows(usages)),
    "## Flags of `m25-mail call`",
    "A password is asked for at the terminal, or read from `--password-file FILE` or standard input.",
    table(["command", "flag", "meaning"], flagRows((await allTools()).map((tool) => usageOf(tool)))),
  );
}

function flagRows(commands: readonly Usage[]): string[][] {
  return commands.flatMap((usage) =>
    Object.entries(usage.flags ?? {})
      .filter(([, flag]) => flag !== json)
      .map(([name, flag]) => [`\`m25-mail ${callOf(usage)}\``, `\`${flagUsage(name, flag)}\``, flag.help]),
  );
}

function settingsPage(): string {
  const servers = ["serve", "stdio"] as const;
  const rows = Object.entries(settings).map(([name, setting]) => [
    `\`${flagUsage(name, setting)}\``,
    `\`${environmentName(name)}\``,
    servers.filter((server) => name in settingsOf(server)).join(", "),
    settingHelp(setting),
  ]);
  return page(
    "Settings",
    "The settings of `m25-mail serve` and `m25-mail stdio`. A flag wins over its environment variable. The node's program has\n" +
      "[its own](node-command-line.md).",
    table(["flag", "environment", "of", "meaning"], rows),
  );
}

function exitCodesPage(): string {
  const codes = Object.entries(statuses).map(([code, status]) => [
    code,
    code === "declined" || code === "cancelled" ? "MCP only" : String(status),
  ]);
  return page(
    "Exit codes and error codes",
    "## `m25-mail`",
    exitTable(exitCodes, exitMeanings),
    "## `m25-mail-node`",
    exitTable(nodeExitCodes, nodeExitMeanings),
    "## Error codes",
    "A refusal ends `m25-mail` with 1, or with 75 if a later try may succeed (`busy`, and `unavailable` in most cases).\n" +
      "[Troubleshooting](../troubleshooting.md#error-codes) says what each code means and what to do.",
    table(["code", "HTTP status"], codes),
  );
}

function exitTable<Name extends string>(
  codes: Readonly<Record<Name, number>>,
  meanings: Readonly<Record<Name, string>>,
): string {
  const names = Object.keys(codes) as Name[];
  return table(
    ["exit code", "meaning"],
    names.map((name) => [String(codes[name]), meanings[name]]),
  );
}

/** The page of metrics, from an instance that has counted one of each kind. */
async function metricsPage(): Promise<string> {
  const metrics = new Metrics();
  metrics.request("/mcp", 200);
  metrics.call({ tool: "add-user", outcome: "done" });
  const figures: Figures = {
    nodes: [{ status: "current", lag: "0", count: 1 }],
    failing: [],
    max_lag: 0,
    withheld: { users: 0, aliases: 0, domain_aliases: 0 },
    revision: 1,
    domains: 1,
    active_users: 1,
    inactive_users: 0,
  };
  const text = await metrics.text(figures, 0, {
    bytes: { database: 0, wal: 0 },
    connections: { polling: { busy: 0, idle: 0, waiting: 0 } },
    signals: { notification: 0, look: 0 },
  });
  const rows = [...text.matchAll(/^# HELP (\S+) (.*)\n# TYPE \S+ (\w+)\n(?:\S+?\{(.*)\} )?/gm)].map(
    ([, name, meaning = "", type = "", labels = ""]) => [
      `\`${name}\``,
      type,
      [...labels.matchAll(/(\w+)=/g)].map(([, label]) => `\`${label}\``).join(", "),
      meaning,
    ],
  );
  return page(
    "Metrics",
    "What `GET /metrics` tells Prometheus. [Operations](../operations.md#metrics) has the configuration and alerts.\n" +
      "Status 401 is a refused credential, 429 a limit; `outcome` is `done` or the code of the refusal.",
    table(["metric", "type", "labels", "meaning"], rows),
  );
}

function inputNames(tool: Tool): string {
  const { properties, required } = inputSchema(tool);
  const names = Object.keys(properties).map((name) => (required?.includes(name) ? `**${name}**` : name));
  return names.length === 0 ? "–" : names.join(", ");
}

function page(title: string, ...parts: readonly string[]): string {
  return `# ${title}\n\n${GENERATED}\n\n${paragraphs(parts)}\n`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return `${line(heads)}${line(heads.map(() => "---"))}${rows.map(line).join("")}`;
}

function paragraphs(parts: readonly string[]): string {
  return parts.map((part) => part.trim()).join("\n\n");
}

function fence(text: string): string {
  return `\`\`\`text\n${text.trim()}\n\`\`\`\n`;
}
