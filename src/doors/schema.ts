import * as z from "zod";
import type { Tool } from "../../tools/call/tool.ts";

export type JsonSchema = {
  [keyword: string]: unknown;
  type: "object";
  properties: Record<string, FieldSchema>;
  required?: string[];
};

export interface FieldSchema {
  type?: string | string[];
  description?: string;
  writeOnly?: boolean;
  default?: unknown;
  enum?: string[];
  anyOf?: FieldSchema[];
  items?: FieldSchema;
  properties?: Record<string, FieldSchema>;
}

/** A tool's input as JSON Schema 2020-12, before transforms and defaults. */
export const inputSchema = madeOnce(({ input }) => toSchema(input, "input"));

/** A tool's result as JSON Schema 2020-12. */
export const outputSchema = madeOnce(({ output }) => toSchema(output, "output"));

/** Makes a schema at first use: that takes as long as a call. */
function madeOnce(make: (tool: Tool) => JsonSchema): (tool: Tool) => JsonSchema {
  const schemas = new WeakMap<Tool, JsonSchema>();
  return (tool) => {
    const schema = schemas.get(tool) ?? make(tool);
    schemas.set(tool, schema);
    return schema;
  };
}

function toSchema(schema: z.ZodObject, io: "input" | "output"): JsonSchema {
  const override = io === "input" ? withoutSafeBounds : openResult;
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, override });
  return oneTypeEach(rest) as JsonSchema;
}

/** Removes JavaScript's own bounds, which zod writes if none is given: they cost a model tokens and tell it nothing. */
function withoutSafeBounds({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
}

/** Results may get further fields: a client that keeps a schema must not refuse them. */
function openResult(made: { jsonSchema: z.core.JSONSchema.BaseSchema }): void {
  withoutSafeBounds(made);
  delete made.jsonSchema.additionalProperties;
}

/** Turns a list of types into branches: some clients map schemas onto dialects in which a value has one type. */
function oneTypeEach(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(oneTypeEach);
  if (typeof node !== "object" || node === null) return node;
  const entries = Object.entries(node).map(([name, value]) => [name, oneTypeEach(value)]);
  const { type, description, ...rest } = Object.fromEntries(entries);
  if (!Array.isArray(type)) return Object.fromEntries(entries);
  return { description, anyOf: type.map((one) => (one === "null" ? { type: one } : { type: one, ...rest })) };
}
