import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { plainArguments, plainInput } from "../../src/doors/input.ts";
import { inputSchema } from "../../src/doors/schema.ts";
import type { Tool } from "../../tools/call/tool.ts";
import { tools } from "../../tools/index.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, toolOf } from "../support/store.ts";

/** Returns how a call is understood; undefined if it is refused. */
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

/** Every field of the nine tools, with an input that is valid without it or with its usual value. */
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

  test("any value means what the schema says, or clearly one other thing, or is refused", () => {
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

  test("valid input passes the door unchanged", () => {
    const { [field]: usual = { integer: 10, boolean: true }[String(type)] } = right;
    const input = { ...base, ...(usual !== undefined && { [field]: usual }) };
    expect(plainInput(tool, input)).toEqual(input);
    expect(taken(tool, input)).toBeDefined();
  });
});

test("only a real true removes a mailbox for good", () => {
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

test("a password is taken unchanged or refused, never converted", () => {
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

describe("fields that a host adds", () => {
  const added = fc.oneof(
    fc.constant("wait_for_previous"),
    fc.string({ maxLength: 20 }).map((name) => `_${name}`),
  );

  test("are ignored at MCP, whatever they are, and not recorded", () => {
    for (const { tool, base } of fields) {
      fc.assert(
        fc.property(fc.dictionary(added, fc.jsonValue(), { maxKeys: 3 }), (own) => {
          expect(taken(tool, plainArguments(tool, { ...own, ...base }))).toEqual(taken(tool, base));
        }),
        { numRuns: 30 },
      );
    }
  });

  test("are errors at REST, like every unknown field", async () => {
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

test("calls as Gemini CLI and Claude Code send them work over MCP", async () => {
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

test("a misspelt argument is an error that names it, unless the name may be a secret", async () => {
  const server = await startServer();
  const said = (name: string) =>
    callText(server, "m25_mail_add_domain", { domain: "example.nl", [name]: "CANARY" });
  expect(await said("domian")).toMatch(/^invalid_input: This call does not have the field domian\./);
  for (const name of ["Hunter2!", "correct horse", "a".repeat(33), "wait-for-previous", "waitForPrevious"]) {
    expect(await said(name)).toMatch(/^invalid_input: The input has a field that this call does not have\. /);
  }
  expect(await said("domian")).not.toContain("CANARY");
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, index) => ["abcdefghi".charAt(index), 1]));
  expect(await callText(server, "m25_mail_list_domains", many)).toContain("the field a, b, c, d, e.");
  expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
});
