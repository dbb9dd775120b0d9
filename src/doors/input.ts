import type { Tool } from "../../tools/tool.ts";
import { type FieldSchema, inputSchema } from "./schema.ts";

/** Arguments that hosts add to every call, besides names that begin with an underscore: Gemini CLI's. */
const HOSTS_OWN = ["wait_for_previous"];

/**
 * Input as a model's host or a script sends it, for call() to judge. An optional field that is null, and an optional text
 * that is empty, is not given; a text that is plainly the number or the `false` that its field takes is that. Nothing else
 * is changed: `true`, which may destroy, must be a real one, and a password is a text already.
 */
export function plainInput(tool: Tool, input: unknown): unknown {
  if (!isObject(input)) return input;
  const { properties, required } = inputSchema(tool);
  const entries = Object.entries(input).flatMap(([name, value]): Array<[string, unknown]> => {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (schema === undefined) return [[name, value]];
    const isOptional = required?.includes(name) !== true;
    if (isOptional && (value === null || (value === "" && schema.type === "string"))) return [];
    return [[name, plainValue(schema, value)]];
  });
  return Object.fromEntries(entries);
}

/** The same for arguments of an MCP call, without what its host has added for itself. */
export function plainArguments(tool: Tool, input: unknown): unknown {
  if (!isObject(input)) return input;
  const given = Object.entries(input).filter(
    ([name]) => Object.hasOwn(tool.input.shape, name) || !(name.startsWith("_") || HOSTS_OWN.includes(name)),
  );
  return plainInput(tool, Object.fromEntries(given));
}

/**
 * Input for a tool from the shell, which knows only texts: the numbers that the schema asks for are read, everything else
 * stays as it is for call() to judge.
 */
export function inputFromText(tool: Tool, texts: Record<string, unknown>): Record<string, unknown> {
  const { properties } = inputSchema(tool);
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, plainValue(properties[name], text)]),
  );
}

function plainValue(schema: FieldSchema | undefined, value: unknown): unknown {
  if (schema?.type === "integer" && typeof value === "string" && /^(?:0|-?[1-9]\d{0,14})$/.test(value)) {
    return Number(value);
  }
  return schema?.type === "boolean" && value === "false" ? false : value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
