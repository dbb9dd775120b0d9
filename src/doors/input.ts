import type { Tool } from "../../tools/call/tool.ts";
import { type FieldSchema, inputSchema } from "./schema.ts";

/** Arguments that Gemini CLI adds to each call. Other hosts' begin with an underscore. */
const HOSTS_OWN = ["wait_for_previous"];

/**
 * Evens out the input of models' hosts and scripts before call() checks it. Leaves out optional fields that are null, and
 * optional texts that are empty. Reads a text as a number, as `false` or as a list if its field takes that. Changes nothing else:
 * `true` may destroy, so it must be a real one.
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

/** The same for an MCP call's arguments, without those that its host adds. */
export function plainArguments(tool: Tool, input: unknown): unknown {
  if (!isObject(input)) return input;
  const given = Object.entries(input).filter(
    ([name]) => Object.hasOwn(tool.input.shape, name) || !(name.startsWith("_") || HOSTS_OWN.includes(name)),
  );
  return plainInput(tool, Object.fromEntries(given));
}

/**
 * Input for a tool from the shell, which knows only texts: reads the numbers that the schema asks for, and leaves the
 * rest for call() to check.
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
  if (schema?.type === "array" && typeof value === "string") return value.split(/\s*,\s*/);
  return schema?.type === "boolean" && value === "false" ? false : value;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
