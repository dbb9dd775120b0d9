import { addDomain } from "../../../tools/add-domain.ts";
import { mcpName, type Tool } from "../../../tools/call/tool.ts";
import { setDomainAlias } from "../../../tools/sets/aliases/set-domain-alias.ts";
import { allTools } from "../../../tools/sets/index.ts";
import type { Flag } from "../../command-line/flags.ts";
import type { SettingUser } from "../../program/settings.ts";
import { type FieldSchema, inputSchema } from "../schema.ts";
import { json, positionalNames, type Usage } from "./usage.ts";
import { flagName } from "./wording.ts";

/** A flag that only the shell has. */
const publicProvider = {
  placeholder: "",
  help: "register it even if it belongs to a public mail provider, such as gmail.com",
};

/** At the shell a flag that is left out must not end a domain alias. */
const ofDomain = {
  placeholder: "DOMAIN",
  help: "the registered domain that has the mailboxes; none ends the alias",
};

/** The operation that `call` runs by this name. It also takes the MCP tools' names, which assistants know. */
export async function toolNamed(word: string | undefined): Promise<Tool | undefined> {
  return (await allTools()).find((tool) => tool.endpoint === word || mcpName(tool) === word);
}

/** A command with all its flags, also those of the operation that it runs. */
export async function withFields(usage: Usage): Promise<Usage> {
  const tool = await toolNamed(usage.runs);
  return tool === undefined ? usage : usageOf(tool, usage);
}

/**
 * An operation's usage at the shell, with its fields as flags.
 *
 * @param named the command that runs it; without one, `call` does
 */
export function usageOf(
  tool: Tool,
  named: Pick<Usage, "name" | "takes" | "does"> = { name: `call ${tool.endpoint}`, does: tool.title },
): Usage {
  const fields = Object.entries(inputSchema(tool).properties).slice(positionalNames(named).length);
  return {
    ...named,
    flags: {
      ...Object.fromEntries(fields.map(flagOf)),
      ...(tool === addDomain && { "public-provider": publicProvider }),
      ...(tool === setDomainAlias && { of: ofDomain }),
      json,
    },
    settings: settingsFor(tool),
  };
}

function settingsFor({ input, output }: Tool): SettingUser {
  if ("password" in input.shape) return "password";
  if ("zone" in output.shape) return "dns";
  return "url" in output.shape || "next_step" in output.shape ? "link" : "database";
}

function flagOf([field, { description = "", writeOnly, type, enum: words }]: [string, FieldSchema]): [
  string,
  Flag,
] {
  if (writeOnly) return ["password-file", { placeholder: "FILE", help: description }];
  const value = words?.join("|") ?? "VALUE";
  return [flagName(field), { placeholder: type === "boolean" ? "" : value, help: description }];
}
