import { Expiry } from "../../../tools/operator/expiry.ts";
import { operatorTools } from "../../../tools/operator/index.ts";
import { UsageError } from "../../program/config.ts";
import { inputFromText } from "../input.ts";
import { optionalText, parseArguments, SWITCHES } from "./arguments.ts";
import { auditCommand } from "./audit.ts";
import { runTool } from "./call.ts";
import { callCommand } from "./endpoint.ts";
import { showAcceptance, showFleet, showNode, showRemoval } from "./fleet.ts";
import { passwordFlags, storeFlags } from "./help.ts";
import { oauthCommand } from "./oauth.ts";
import { readPassword } from "./password.ts";
import { presentation, show } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { toolCommand } from "./tool-command.ts";
import { verbsOf } from "./usage.ts";

/**
 * The command on the database that follows `m25-mail`; undefined for a word that begins none.
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
      return toolCommand(operatorTools.listTokens, rest, []);
    case "token revoke":
      return toolCommand(operatorTools.revokeToken, rest, ["NAME"], ({ name }) => `${name} is revoked`);
    case "node list":
      return listNodesCommand(rest);
    case "node set":
      return setNodeCommand(rest);
    case "node rotate-key":
      return rotateKeyCommand(rest);
    case "node accept":
      return acceptCommand(rest);
    case "node remove":
      return toolCommand(operatorTools.removeNode, rest, ["NAME"], showRemoval);
    case "user set-quota":
      return toolCommand(operatorTools.setQuota, rest, ["EMAIL", "MIB"]);
    case "user restore":
      return toolCommand(operatorTools.restoreUser, rest, ["EMAIL"]);
    case "user purge":
      return toolCommand(
        operatorTools.purgeUser,
        rest,
        ["EMAIL"],
        ({ email }) => `${email} is removed for good`,
      );
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
  const present = presentation(values, ({ token }) => String(token));
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.createToken, input, present, words) };
}

function listNodesCommand(argv: readonly string[]): StoreCommand {
  const tool = operatorTools.listFleet;
  const fields = Object.keys(tool.input.shape);
  const { values } = parseArguments(argv, [...storeFlags, ...fields], SWITCHES, []);
  const given = fields.filter((field) => values[field] !== undefined);
  const input = inputFromText(tool, Object.fromEntries(given.map((field) => [field, values[field]])));
  return { values, run: (runtime) => runTool(runtime, tool, input, presentation(values, showFleet)) };
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
  if (Object.keys(input).length === 1) {
    throw new UsageError(
      "Nothing is to be set: give --domains, --role or --ip. m25-mail node list shows what holds now.",
    );
  }
  const present = presentation(values, showNode);
  const words = { name: "NAME", ip_address: "--ip" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.setNode, input, present, words) };
}

/** On stdout the key alone, for the same reason as a token; what to do with it is for whoever reads along. */
function rotateKeyCommand(argv: readonly string[]): StoreCommand {
  const { values, positionals } = parseArguments(argv, storeFlags, SWITCHES, ["NAME"]);
  const present = presentation(values, ({ sync_key, next_step }) => {
    process.stderr.write(`${next_step}\n`);
    return String(sync_key);
  });
  const input = { name: positionals[0] };
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.rotateKey, input, present, words) };
}

function acceptCommand(argv: readonly string[]): StoreCommand {
  const all = argv.includes("--all");
  const { values, positionals } = parseArguments(argv, storeFlags, [...SWITCHES, "all"], all ? [] : ["NAME"]);
  const input = all ? { all } : { name: positionals[0] };
  const present = presentation(values, showAcceptance);
  const words = { name: "NAME" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.acceptRemovals, input, present, words) };
}

function setPasswordCommand(argv: readonly string[]): StoreCommand {
  const { values } = parseArguments(argv, [...passwordFlags, "password-file"], SWITCHES, []);
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
