import type { Tool } from "../../tools/call/tool.ts";
import { version } from "../program/version.ts";
import { overRest } from "./http/wording.ts";
import { inputSchema, outputSchema } from "./schema.ts";

/** The REST door to these tools as an OpenAPI 3.1 document. */
export function openapi(tools: readonly Tool[]) {
  return {
    openapi: "3.1.1",
    info: {
      title: "M25 Mail",
      version,
      description: "Administration of e-mail domains and mailboxes. The same operations as the MCP tools.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    paths: Object.fromEntries(tools.map((tool) => [`/api/${tool.endpoint}`, pathItem(tool)])),
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "m25-mail token create NAME" },
      },
      schemas: { Problem: problemSchema },
    },
  };
}

function pathItem(tool: Tool) {
  const operation = {
    operationId: tool.endpoint,
    summary: tool.title,
    description: overRest(tool.description),
    responses: {
      200: { description: "Done.", content: { "application/json": { schema: outputSchema(tool) } } },
      default: {
        description: "Refused: nothing was changed.",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
  const schema = inputSchema(tool);
  if (tool.effect !== "read") {
    return {
      post: { ...operation, requestBody: { required: true, content: { "application/json": { schema } } } },
    };
  }
  const parameters = Object.entries(schema.properties).map(([name, { description, ...field }]) => ({
    name,
    in: "query",
    description,
    schema: field,
  }));
  return { get: { ...operation, parameters } };
}

/** RFC 9457. */
const problemSchema = {
  type: "object",
  properties: {
    type: { type: "string" },
    title: { type: "string" },
    status: { type: "integer" },
    code: { type: "string", description: "The kind of error, for programs." },
    detail: { type: "string", description: "The error, in plain words." },
    hint: { type: "string", description: "The next step." },
  },
  required: ["type", "title", "status", "code", "detail", "hint"],
};
