import { tools } from "../../../tools/index.ts";
import { Expiry } from "../../../tools/operator/expiry.ts";
import { operatorTools } from "../../../tools/operator/index.ts";
import { isSecret, mcpName, type Tool } from "../../../tools/tool.ts";
import { UsageError } from "../../config.ts";
import { inputFromText, inputSchema } from "../schema.ts";
import { type Arguments, type FlagValues, parseArguments } from "./arguments.ts";
import { auditCommand } from "./audit.ts";
import { runTool } from "./call.ts";
import { showFleet } from "./fleet.ts";
import { storeFlags } from "./help.ts";
import { readPassword } from "./password.ts";
import { show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { verbsOf } from "./usage.ts";
import { flagName } from "./wording.ts";

const SWITCHES = ["json"];

/**
 * The command for what follows `m25-mail`: call, audit, token, node or user.
 *
 * @throws UsageError
 */
export function storeCommand(name: string, argv: readonly string[]): StoreCommand | undefined {
  if (name === "call") return callCommand(argv);
  if (name === "audit") return auditCommand(argv);
  const [verb = "", ...rest] = argv;
  const command = `${name} ${verb}`;
  switch (command) {
    case "token create":
      return createTokenCommand(rest);
    case "token list":
      return simple(operatorTools.listTokens, rest, []);
    case "token revoke":
      return simple(operatorTools.revokeToken, rest, ["NAME"], ({ name }) => `${name} is revoked`);
    case "node list":
      return simple(operatorTools.listFleet, rest, [], showFleet);
    case "node set":
      return setNodeCommand(rest);
    case "node rotate-key":
      return rotateKeyCommand(rest);
    case "node accept":
      return acceptCommand(rest);
    case "node remove":
      return simple(
        operatorTools.removeNode,
        rest,
        ["NAME"],
        ({ name }) => `${name} is removed: its sync keys are ended, and it keeps serving what it has`,
      );
    case "user set-quota":
      return simple(operatorTools.setQuota, rest, ["EMAIL", "MIB"]);
    case "user restore":
      return simple(operatorTools.restoreUser, rest, ["EMAIL"]);
    case "user purge":
      return simple(operatorTools.purgeUser, rest, ["EMAIL"], ({ email }) => `${email} is removed for good`);
    case "operator set-password":
      return setPasswordCommand(rest);
    case "oauth client":
    case "oauth grants":
      return oauthCommand(verb, rest);
    default:
      if (verbsOf(name) === "") return undefined;
      throw new UsageError(`m25-mail ${name} needs one of: ${verbsOf(name)}.`);
  }
}

function endpoint(name: string): Tool {
  // Assistants know the MCP tools: their names are good here too.
  const tool = tools.find((candidate) => candidate.endpoint === name || mcpName(candidate) === name);
  if (tool !== undefined) return tool;
  throw new UsageError(
    `There is no endpoint ${name}. The endpoints: ${tools.map((known) => known.endpoint).join(", ")}.`,
  );
}

/** A command whose positional arguments are the tool's fields, in their order. */
function simple(
  tool: Tool,
  argv: readonly string[],
  positionalNames: readonly string[],
  shown = show,
): StoreCommand {
  const { values, positionals } = parseArguments(argv, storeFlags, SWITCHES, positionalNames);
  const fields = Object.keys(tool.input.shape);
  const named = (texts: readonly string[]) =>
    Object.fromEntries(texts.map((text, index) => [fields[index] ?? "", text]));
  const input = inputFromText(tool, named(positionals));
  return {
    values,
    run: (runtime) => runTool(runtime, tool, input, presentation(values, shown), named(positionalNames)),
  };
}

function presentation(values: FlagValues, shown = show): (result: Record<string, unknown>) => string {
  return values.json === true ? (result) => JSON.stringify(result) : shown;
}

function createTokenCommand(argv: readonly string[]): StoreCommand {
  const flags = [...storeFlags, "scopes", "domains", "expires"];
  const { values, positionals } = parseArguments(argv, flags, SWITCHES, ["NAME"]);
  if (values.expires !== undefined && !Expiry.safeParse(values.expires).success) {
    throw new UsageError(
      "--expires takes days or hours, such as 90d or 12h, or the last day, such as 2027-01-31.",
    );
  }
  const input = {
    name: positionals[0],
    ...(values.scopes !== undefined && { scopes: String(values.scopes).split(",") }),
    ...(values.domains !== undefined && { domains: String(values.domains).split(",") }),
    ...(values.expires !== undefined && { expires: values.expires }),
  };
  // The token alone: `TOKEN=$(m25-mail token create NAME)` is how it is used.
  const present =
    values.json === true ? presentation(values) : ({ token }: Record<string, unknown>) => String(token);
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.createToken, input, present, words) };
}

function setNodeCommand(argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(argv, [...storeFlags, "domains", "role", "ip"], SWITCHES, [
    "NAME",
  ]);
  const domains = optionalText(values.domains);
  const input = {
    name: positionals[0],
    ...(domains !== undefined && { domains: domains === "all" ? domains : domains.split(",") }),
    ...(values.role !== undefined && { role: values.role }),
    ...(values.ip !== undefined && { ip_address: values.ip }),
  };
  const present = presentation(values);
  const words = { name: "NAME", ip_address: "--ip" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.setNode, input, present, words) };
}

/** The key alone, for the same reason as a token. */
function rotateKeyCommand(argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(argv, storeFlags, SWITCHES, ["NAME"]);
  const present =
    values.json === true ? presentation(values) : ({ sync_key }: Record<string, unknown>) => String(sync_key);
  const input = { name: positionals[0] };
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.rotateKey, input, present, words) };
}

function acceptCommand(argv: readonly string[]): StoreCommand {
  const all = argv.includes("--all");
  const { values, positionals } = parseArguments(argv, storeFlags, [...SWITCHES, "all"], all ? [] : ["NAME"]);
  const input = all ? { all } : { name: positionals[0] };
  const present = presentation(values);
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.acceptRemovals, input, present, words) };
}

function setPasswordCommand(argv: readonly string[]): StoreCommand {
  const { values } = parseArguments(argv, [...storeFlags, "password-file"], SWITCHES, []);
  return {
    values,
    async run(runtime) {
      const password = await readPassword(optionalText(values["password-file"]));
      return runTool(
        runtime,
        operatorTools.setOperatorPassword,
        { password },
        presentation(values, showGrants),
      );
    },
  };
}

function showGrants(result: Record<string, unknown>): string {
  const next =
    "See what clients were allowed, and end it: m25-mail oauth grants list, oauth grants revoke ID";
  return result.grants === 0 ? show(result) : `${show(result)}\n${next}`;
}

/** @param subject client or grants */
function oauthCommand(subject: string, [verb = "", ...argv]: readonly string[]): StoreCommand {
  switch (`${subject} ${verb}`) {
    case "client add":
      return addClientCommand(argv);
    case "client list":
      return simple(operatorTools.listOAuthClients, argv, []);
    case "client remove":
      return simple(operatorTools.removeOAuthClient, argv, ["NAME"]);
    case "grants list":
      return simple(operatorTools.listGrants, argv, []);
    case "grants revoke":
      return simple(operatorTools.revokeGrant, argv, ["ID"]);
    default:
      throw new UsageError(`m25-mail oauth needs one of: ${verbsOf("oauth")}.`);
  }
}

function addClientCommand(argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(argv, [...storeFlags, "redirect-uri"], SWITCHES, ["NAME"]);
  const redirectUris = optionalText(values["redirect-uri"])?.split(",") ?? [];
  if (redirectUris.length === 0) {
    throw new UsageError("--redirect-uri is missing: where the client is sent back to, as its maker says.");
  }
  const input = { name: positionals[0], redirect_uris: redirectUris };
  const present =
    values.json === true
      ? presentation(values)
      : ({ client_id }: Record<string, unknown>) => String(client_id);
  const words = { name: "NAME", redirect_uris: "--redirect-uri" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.addOAuthClient, input, present, words) };
}

function callCommand(argv: readonly string[]): StoreCommand {
  const [name = "", ...rest] = argv;
  if (name === "" || name.startsWith("-")) throw new UsageError("call needs an ENDPOINT.");
  const tool = endpoint(name);
  const { properties } = inputSchema(tool);
  const fields = Object.keys(properties).filter((field) => !isSecret(tool.input.shape[field]));
  const takesPassword = "password" in properties;
  const booleans = fields.filter((field) => properties[field]?.type === "boolean");
  const texts = fields.filter((field) => !booleans.includes(field));
  const parsed = parseArguments(
    rest,
    [...storeFlags, ...texts.map(flagName), ...(takesPassword ? ["password-file"] : [])],
    [...SWITCHES, ...booleans.map(flagName)],
    [],
  );
  const { values } = parsed;
  return {
    values,
    async run(runtime) {
      const input = inputFromText(tool, fieldsOf(fields, parsed));
      if (takesPassword) input.password = await readPassword(optionalText(values["password-file"]));
      return runTool(runtime, tool, input, presentation(values));
    },
  };
}

function fieldsOf(fields: readonly string[], { values }: Arguments): Record<string, unknown> {
  const given = fields.filter((field) => values[flagName(field)] !== undefined);
  return Object.fromEntries(given.map((field) => [field, values[flagName(field)]]));
}

function optionalText(value: string | boolean | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
