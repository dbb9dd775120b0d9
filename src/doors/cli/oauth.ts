import { operatorTools } from "../../../tools/operator/index.ts";
import { UsageError } from "../../program/config.ts";
import { optionalText, parseArguments, SWITCHES } from "./arguments.ts";
import { runTool } from "./call.ts";
import { storeFlags } from "./help.ts";
import { presentation } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { toolCommand } from "./tool-command.ts";
import { verbsOf } from "./usage.ts";

/**
 * What follows `m25-mail oauth`.
 *
 * @param subject client or grants
 * @throws UsageError
 */
export function oauthCommand(subject: string, [verb = "", ...argv]: readonly string[]): StoreCommand {
  switch (`${subject} ${verb}`) {
    case "client add":
      return addClientCommand(argv);
    case "client list":
      return toolCommand(operatorTools.listOAuthClients, argv, []);
    case "client remove":
      return toolCommand(operatorTools.removeOAuthClient, argv, ["NAME"]);
    case "grants list":
      return toolCommand(operatorTools.listGrants, argv, []);
    case "grants revoke":
      return toolCommand(operatorTools.revokeGrant, argv, ["ID"]);
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
  const present = presentation(values, ({ client_id }) => String(client_id));
  const words = { name: "NAME", redirect_uris: "--redirect-uri" };
  return { values, run: (runtime) => runTool(runtime, operatorTools.addOAuthClient, input, present, words) };
}
