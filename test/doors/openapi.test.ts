import { expect, test } from "vitest";
import { mcpName } from "../../tools/call/tool.ts";
import { tools } from "../../tools/index.ts";
import { connectHttp } from "../support/clients.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

interface Operation {
  operationId: string;
  summary: string;
  description: string;
  parameters?: Array<{ name: string; in: string; description: string; schema: object }>;
  requestBody?: { required: boolean; content: Record<string, { schema: Record<string, unknown> }> };
  responses: Record<string, { description: string; content: Record<string, { schema: object }> }>;
}

interface Document {
  openapi: string;
  info: Record<string, unknown>;
  paths: Record<string, Record<string, Operation>>;
  security: object[];
  components: { securitySchemes: Record<string, object>; schemas: Record<string, object> };
}

async function document(): Promise<Document> {
  const server = await startServer();
  return (await server.api("openapi.json")).body as unknown as Document;
}

test("the document is OpenAPI 3.1 and lists the nine endpoints, and none of an operator's", async () => {
  const { openapi, info, paths, security, components } = await document();
  expect(openapi).toMatch(/^3\.1\.\d+$/);
  expect(info).toMatchObject({ title: expect.any(String), version: expect.any(String) });
  expect(Object.keys(paths)).toEqual(tools.map(({ endpoint }) => `/api/${endpoint}`));
  for (const scheme of security.flatMap(Object.keys))
    expect(components.securitySchemes).toHaveProperty(scheme);
});

test("a token for some domains sees no endpoint for all domains, as over MCP", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  const { token } = await must("create-token", { name: "bakery", domains: ["bakery.example"] });
  const { body } = await server.api("openapi.json", undefined, String(token));
  const offered = Object.keys((body as unknown as Document).paths);
  expect(offered).toHaveLength(7);
  expect(offered.join()).not.toContain("node");
  const client = await connectHttp("2.x 2026-07-28", server.url, String(token));
  const names = (await client.listTools()).tools.map(({ name }) => name);
  const usable = tools.filter((tool) => names.includes(mcpName(tool)));
  expect(offered).toEqual(usable.map(({ endpoint }) => `/api/${endpoint}`));
});

test("each operation has a unique name and describes itself, its input and its answers", async () => {
  const { paths } = await document();
  const ids = new Set<string>();
  for (const [path, item] of Object.entries(paths)) {
    expect(Object.keys(item), path).toHaveLength(1);
    for (const [method, operation] of Object.entries(item)) {
      ids.add(operation.operationId);
      expect(operation.description.length, path).toBeGreaterThan(100);
      expect(operation.responses["200"]?.content["application/json"]?.schema, path).toMatchObject({
        type: "object",
      });
      expect(operation.responses.default?.content["application/problem+json"], path).toBeDefined();
      if (method === "get") {
        expect(operation.requestBody, path).toBeUndefined();
        for (const parameter of operation.parameters ?? []) {
          expect(parameter).toMatchObject({
            in: "query",
            description: expect.any(String),
            schema: expect.any(Object),
          });
        }
      } else {
        expect(operation.requestBody?.content["application/json"]?.schema, path).toMatchObject({
          type: "object",
          additionalProperties: false,
        });
      }
    }
  }
  expect(ids.size).toBe(9);
});

test("the document uses REST's names of operations, not MCP's", async () => {
  const server = await startServer();
  const text = JSON.stringify((await server.api("openapi.json")).body);
  expect(text).toContain("POST /api/add-user");
  expect(text).not.toContain("m25_mail_");
  expect(text).not.toContain("9007199254740991");
});

test("every reference in the document resolves", async () => {
  const whole = await document();
  const references = [...JSON.stringify(whole).matchAll(/"\$ref":"([^"]+)"/g)].map(([, to = ""]) => to);
  expect(references.length).toBeGreaterThan(0);
  for (const reference of references) {
    const found = reference
      .replace(/^#\//, "")
      .split("/")
      .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], whole);
    expect(found, reference).toBeTypeOf("object");
  }
});

test("the password is marked as write-only", async () => {
  const { paths } = await document();
  const schema = paths["/api/add-user"]?.post?.requestBody?.content["application/json"]?.schema;
  expect(schema).toMatchObject({ properties: { password: { writeOnly: true, format: "password" } } });
});
