import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plainArguments, plainInput } from "../../src/doors/input.ts";
import { inputSchema } from "../../src/doors/schema.ts";
import { tools } from "../../tools/index.ts";
import type { Tool } from "../../tools/tool.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, toolOf } from "../support/store.ts";

/** What a call is taken for; undefined where it is refused. */
function taken(tool: Tool, input: unknown) {
  try {
    const { scope, password, arguments: recorded } = tool.parse(input);
    return { scope, password, recorded };
  } catch {
    return undefined;
  }
}

const right: Readonly<Record<string, unknown>> = {
  domain: "example.nl",
  email: "jan@example.nl",
  password: PASSWORD,
  name: "pi",
};

/** Every field of the nine, with an input that is right without it or with its usual value. */
const fields = tools.flatMap((tool) => {
  const { properties, required = [] } = inputSchema(tool);
  const base = Object.fromEntries(required.map((name) => [name, right[name]]));
  return Object.keys(properties).map((field) => ({
    tool,
    field,
    base,
    isOptional: !required.includes(field),
  }));
});

const anything = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(
    "",
    "false",
    "true",
    "10",
    "2048",
    "007",
    "1e3",
    " 5",
    "5 ",
    "-1",
    "0",
    "1.5",
    "0x10",
    null,
  ),
  fc.integer().map(String),
  fc.constantFrom("jan@example.nl", "example.nl", "192.0.2.7", "pi", PASSWORD),
);

describe.each(fields)("$tool.endpoint, $field", ({ tool, field, base, isOptional }) => {
  const type = inputSchema(tool).properties[field]?.type;

  test("whatever a host sends is what it is by the schema, or plainly one other thing, or refused", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const input = { ...base, [field]: value };
        const plain = taken(tool, plainInput(tool, input));
        if (isOptional && (value === null || (value === "" && type === "string"))) {
          expect(plain).toEqual(taken(tool, base));
        } else if (type === "integer" && typeof value === "string" && String(Number(value)) === value) {
          expect(plain).toEqual(taken(tool, { ...base, [field]: Number(value) }));
        } else if (type === "boolean" && value === "false") {
          expect(plain).toEqual(taken(tool, { ...base, [field]: false }));
        } else {
          expect(plain).toEqual(taken(tool, input));
        }
      }),
      { numRuns: 300 },
    );
  });

  test("what the schema allows means the same as without the door", () => {
    const { [field]: usual = { integer: 10, boolean: true }[String(type)] } = right;
    const input = { ...base, ...(usual !== undefined && { [field]: usual }) };
    expect(plainInput(tool, input)).toEqual(input);
    expect(taken(tool, input)).toBeDefined();
  });
});

test("a mailbox is removed for good by a real true and nothing else", () => {
  const removeUser = toolOf("remove-user");
  fc.assert(
    fc.property(fc.oneof(anything, fc.constantFrom("true", "True", "yes", 1, "1", [true], true)), (value) => {
      const input = { email: "jan@example.nl", hard_delete: value };
      const plain = taken(removeUser, plainArguments(removeUser, input));
      expect(plain?.scope === "destroy").toBe(value === true);
    }),
  );
  expect(taken(removeUser, plainInput(removeUser, { email: "jan@example.nl", hard_delete: "true" }))).toBe(
    undefined,
  );
});

test("a password is taken as it is, or refused, never made from something else", () => {
  for (const endpoint of ["add-user", "update-password"]) {
    const tool = toolOf(endpoint);
    for (const password of [null, "", 12345678, false, ["correct horse"], { text: "correct horse" }]) {
      const input = { email: "jan@example.nl", password };
      expect(plainInput(tool, input)).toEqual(input);
      expect(taken(tool, plainInput(tool, input))).toBeUndefined();
    }
    for (const password of ["12345678", "false---", "null----"]) {
      const input = { email: "jan@example.nl", password };
      expect(taken(tool, plainInput(tool, input))?.password).toBe(password);
    }
  }
});

describe("what a host adds for itself", () => {
  const added = fc.oneof(
    fc.constant("wait_for_previous"),
    fc.string({ maxLength: 20 }).map((name) => `_${name}`),
  );

  test("is left out at MCP, whatever it is, and is no part of what is recorded", () => {
    for (const { tool, base } of fields) {
      fc.assert(
        fc.property(fc.dictionary(added, fc.jsonValue(), { maxKeys: 3 }), (own) => {
          expect(taken(tool, plainArguments(tool, { ...own, ...base }))).toEqual(taken(tool, base));
        }),
        { numRuns: 30 },
      );
    }
  });

  test("is an error at REST, as every field that a call does not have", async () => {
    const server = await startServer();
    for (const own of ["wait_for_previous", "_reason"]) {
      const { status, body } = await server.api("add-domain", { domain: "example.nl", [own]: true });
      expect([status, body.detail]).toEqual([400, `This call does not have the field ${own}.`]);
    }
  });
});

const callText = async (server: { url: string; token: string }, name: string, input: unknown) => {
  const { body } = await postMcp(server, rpc("tools/call", { name, arguments: input }));
  return (JSON.parse(body).result.content as Array<{ text: string }>)[0]?.text ?? "";
};

test("a call as Gemini CLI and Claude Code make it is done over MCP", async () => {
  const server = await startServer();
  const domain = { domain: "example.nl", wait_for_previous: true };
  expect(await callText(server, "m25_mail_add_domain", domain)).toContain('"domain":"example.nl"');
  const user = { email: "jan@example.nl", password: PASSWORD, quota_mb: "2048", _meta: { step: 2 } };
  expect(await callText(server, "m25_mail_add_user", user)).toContain('"quota_mb":2048');
  const all = { domain: "", search: "", cursor: null, limit: "10" };
  expect(await callText(server, "m25_mail_list_users", all)).toContain('"total":1');
  const soft = { email: "jan@example.nl", hard_delete: "false" };
  expect(await callText(server, "m25_mail_remove_user", soft)).toContain('"deleted":"soft"');
  const hard = { email: "jan@example.nl", hard_delete: "true" };
  expect(await callText(server, "m25_mail_remove_user", hard)).toMatch(/^invalid_input: hard_delete: /);
  expect((await server.api("list-users?domain=&search=&limit=10")).body).toMatchObject({ total: 1 });
  expect((await server.api("add-node", { name: "pi", ip_address: null })).status).toBe(200);
});

test("a misspelt argument is an error that names it, unless it may be a secret in the wrong place", async () => {
  const server = await startServer();
  const said = (name: string) =>
    callText(server, "m25_mail_add_domain", { domain: "example.nl", [name]: "CANARY" });
  expect(await said("domian")).toMatch(/^invalid_input: This call does not have the field domian\./);
  for (const name of ["Hunter2!", "correct horse", "a".repeat(33), "wait-for-previous", "waitForPrevious"]) {
    expect(await said(name)).toMatch(/^invalid_input: There is a field that this call does not have\. /);
  }
  expect(await said("domian")).not.toContain("CANARY");
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, index) => ["abcdefghi".charAt(index), 1]));
  expect(await callText(server, "m25_mail_list_domains", many)).toContain("the field a, b, c, d, e.");
  expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
});
