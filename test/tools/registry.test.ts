import { describe, expect, test } from "vitest";
import * as z from "zod";
import { overMcp } from "../../src/doors/mcp/wording.ts";
import { inputSchema, outputSchema } from "../../src/doors/schema.ts";
import { toolsFor } from "../../tools/call/authorise.ts";
import { operator } from "../../tools/call/principal.ts";
import { isSecret, mcpName } from "../../tools/call/tool.ts";
import { readOnlyTools, tools } from "../../tools/index.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import { allTools } from "../../tools/sets/index.ts";
import { testStore, toolOf } from "../support/store.ts";

const names = tools.map(mcpName);
const all = [...(await allTools()), ...Object.values(operatorTools)];

test("there are nine tools, in a fixed order, with the promised names", () => {
  expect(names).toEqual([
    "m25_mail_add_domain",
    "m25_mail_remove_domain",
    "m25_mail_list_domains",
    "m25_mail_add_user",
    "m25_mail_remove_user",
    "m25_mail_list_users",
    "m25_mail_update_password",
    "m25_mail_list_nodes",
    "m25_mail_add_node",
  ]);
});

describe.each((await allTools()).map((tool) => [mcpName(tool), tool] as const))("%s", (_name, tool) => {
  test("has a description for a model that has never seen it", () => {
    expect(overMcp(tool.description).length).toBeGreaterThan(100);
    expect(overMcp(tool.description).length).toBeLessThan(600);
    expect(tool.title.length).toBeGreaterThan(5);
  });

  test("describes every field of its input", () => {
    for (const [field, { description }] of Object.entries(inputSchema(tool).properties)) {
      expect(description, field).toBeTypeOf("string");
      expect(description?.length, field).toBeGreaterThan(15);
    }
  });

  test("takes an object with these fields only, and every text has a maximum length", () => {
    const schema = inputSchema(tool);
    expect(schema).toMatchObject({ type: "object", additionalProperties: false });
    for (const [field, text] of Object.entries(schema.properties)) {
      if (text.type === "string")
        expect("maxLength" in text || "pattern" in text || "enum" in text, field).toBe(true);
      if (text.type === "integer")
        expect(text, field).toMatchObject({ minimum: 1, maximum: expect.any(Number) });
    }
  });

  test("answers with an object that clients can validate", () => {
    expect(outputSchema(tool)).toMatchObject({ type: "object" });
    expect(() => JSON.stringify(outputSchema(tool))).not.toThrow();
    expect(Object.keys(tool.output.shape)).not.toContain("password");
  });
});

test.each([
  ["read-only", readOnlyTools],
  ["for some domains only", toolsFor({ ...operator("cli"), domains: new Set(["a.nl"]) }, tools)],
])("with %s access no text names a tool that is missing", (_what, offered) => {
  expect(offered.length).toBeGreaterThan(2);
  for (const tool of offered) {
    const text = JSON.stringify([overMcp(tool.description), inputSchema(tool), outputSchema(tool)]);
    for (const [named] of text.matchAll(/m25_mail_[a-z_]+/g)) {
      expect(offered.map(mcpName), tool.endpoint).toContain(named);
    }
  }
});

test("only passwords, and a file's aliases, which may have one in the wrong column, are marked as secret", () => {
  for (const tool of all) {
    for (const [field, schema] of Object.entries(tool.input.shape)) {
      expect(isSecret(schema), `${tool.endpoint} ${field}`).toBe(
        /password|secret|key|token$/.test(field) || field === "all_aliases",
      );
    }
  }
});

test("every number that a tool takes is an integer, as its refusals say", () => {
  const types = all.flatMap((tool) => Object.values(inputSchema(tool).properties).map(({ type }) => type));
  expect(types).toContain("integer");
  expect(types).not.toContain("number");
});

test("numbers have explicit bounds, never JavaScript's default ones", () => {
  for (const tool of all) {
    expect(JSON.stringify([inputSchema(tool), outputSchema(tool)])).not.toContain("9007199254740991");
  }
  expect(inputSchema(toolOf("add-user")).properties.quota_mb).toMatchObject({
    type: "integer",
    minimum: 1,
    maximum: 1_048_576,
  });
});

test("read-only tools are marked as such, and destructive ones too", () => {
  const effects = Object.fromEntries(tools.map((tool) => [tool.endpoint, tool.effect]));
  expect(effects).toEqual({
    "add-domain": "write",
    "remove-domain": "destroy",
    "list-domains": "read",
    "add-user": "write",
    "remove-user": "destroy",
    "list-users": "read",
    "update-password": "write",
    "list-nodes": "read",
    "add-node": "write",
  });
});

test("a tool that a text may refer to begins with list- or check- if it reads, and else does not", async () => {
  for (const { endpoint, effect } of await allTools()) {
    expect(/^(list|check)-/.test(endpoint), endpoint).toBe(effect === "read");
  }
});

test("no two tools have the same name", () => {
  const endpoints = all.map((tool) => tool.endpoint);
  expect(new Set(endpoints).size).toBe(endpoints.length);
  expect(all.every((tool) => tool.input instanceof z.ZodObject)).toBe(true);
});

/** A value for each field that a tool requires. Nothing is registered under these names. */
const unknown = {
  name: "nothing",
  domain: "nowhere.nl",
  email: "nobody@nowhere.nl",
  new_email: "somebody@nowhere.nl",
  password: "brown hen in a tall tree",
  quota_mb: 5,
  kind: "reset",
  redirect_uris: ["https://nowhere.nl/callback"],
  id: "00000000",
  from: "nowhere",
  files: [],
  mailbox_count: 0,
  file: "nothing.yml",
  domains: [],
  mailboxes_with_passwords: [],
  address: "nobody@nowhere.nl",
  targets: ["somebody@nowhere.nl"],
};

test.each(all.map(({ endpoint }) => endpoint))(
  "%s with nothing but its required fields, about something unknown, is no bug",
  async (endpoint) => {
    const { run, bugs } = testStore();
    const required = Object.entries(toolOf(endpoint).input.shape).filter(
      ([, schema]) => !schema.safeParse(undefined).success,
    );
    const input = Object.fromEntries(
      required.map(([field]) => [field, unknown[field as keyof typeof unknown]]),
    );
    const outcome = await run(endpoint, input);
    expect(bugs).toEqual([]);
    if (!outcome.ok) expect(outcome.error.code).not.toBe("internal");
    expect(Object.values(input)).not.toContain(undefined);
  },
);
