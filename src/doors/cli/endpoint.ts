import { addPublicProvider } from "../../../tools/add-domain.ts";
import { tools } from "../../../tools/index.ts";
import { isSecret } from "../../../tools/tool.ts";
import { UsageError } from "../../program/config.ts";
import { inputFromText } from "../input.ts";
import { inputSchema } from "../schema.ts";
import { type Arguments, optionalText, parseArguments, SWITCHES } from "./arguments.ts";
import { runTool } from "./call.ts";
import { flagsFor, switchesOf, toolNamed } from "./help.ts";
import { readPassword } from "./password.ts";
import { presentation } from "./show.ts";
import type { StoreCommand } from "./store-command.ts";
import { flagName } from "./wording.ts";

/**
 * `m25-mail call ENDPOINT`: any of the nine, its fields as flags.
 *
 * @throws UsageError
 */
export function callCommand(argv: readonly string[]): StoreCommand {
  const [name = "", ...rest] = argv;
  if (name === "" || name.startsWith("-")) throw new UsageError("call needs an ENDPOINT.");
  const tool = toolNamed(name);
  if (tool === undefined) {
    throw new UsageError(
      `There is no endpoint ${name}. The endpoints: ${tools.map((known) => known.endpoint).join(", ")}.`,
    );
  }
  const { properties } = inputSchema(tool);
  const own = switchesOf(tool).map(([switchName]) => switchName);
  const fields = Object.keys(properties).filter((field) => !isSecret(tool.input.shape[field]));
  const takesPassword = "password" in properties;
  const booleans = fields.filter((field) => properties[field]?.type === "boolean");
  const texts = fields.filter((field) => !booleans.includes(field));
  const parsed = parseArguments(
    rest,
    [...flagsFor(tool), ...texts.map(flagName), ...(takesPassword ? ["password-file"] : [])],
    [...SWITCHES, ...own, ...booleans.map(flagName)],
    [],
  );
  const { values } = parsed;
  return {
    values,
    async run(runtime) {
      const input = inputFromText(tool, fieldsOf(fields, parsed));
      if (takesPassword) input.password = await readPassword(optionalText(values["password-file"]));
      const meant = values["public-provider"] === true ? addPublicProvider : tool;
      return runTool(runtime, meant, input, presentation(values));
    },
  };
}

function fieldsOf(fields: readonly string[], { values }: Arguments): Record<string, unknown> {
  const given = fields.filter((field) => values[flagName(field)] !== undefined);
  return Object.fromEntries(given.map((field) => [field, values[flagName(field)]]));
}
