import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { callTool, connectStdio } from "../support/clients.ts";
import { m25mail, startM25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

async function newDatabase(): Promise<string> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const store = openStore(database, { create: true });
  const { must } = testRuntime(store);
  for (const domain of ["a.nl", "b.nl"]) await must("add-domain", { domain });
  await must("add-user", { email: "jan@b.nl", password: PASSWORD });
  await store.close();
  return database;
}

async function toolsWith(environment: Record<string, string>): Promise<string[]> {
  const client = await connectStdio("2.x 2026-07-28", await newDatabase(), [], environment);
  return (await client.listTools()).tools.map(({ name }) => name.replace("m25_mail_", ""));
}

test.each([
  ["read", ["list_domains", "list_users"]],
  ["write", ["add_domain", "add_user", "remove_user", "update_password"]],
  ["destroy", ["remove_domain", "remove_user"]],
  ["nodes", ["list_nodes", "add_node"]],
  [" read, nodes,", ["list_domains", "list_users", "list_nodes", "add_node"]],
])("a client with the scopes %j sees %j", async (scopes, offered) => {
  expect(await toolsWith({ M25_MAIL_SCOPES: scopes })).toEqual(offered);
});

test("with --read-only as well, a client sees only the tools that both allow", async () => {
  expect(await toolsWith({ M25_MAIL_SCOPES: "write,read", M25_MAIL_READ_ONLY: "true" })).toEqual([
    "list_domains",
    "list_users",
  ]);
});

test.each(["1.x", "2.x legacy", "2.x 2026-07-28"] as const)(
  "a client (%s) without the scope is refused, told how to get it, and recorded in the audit log",
  async (kind) => {
    const database = await newDatabase();
    const client = await connectStdio(kind, database, [], { M25_MAIL_SCOPES: "read,write" });
    const refused = [
      await callTool(client, "remove-domain", { domain: "a.nl" }),
      await callTool(client, "remove-user", { email: "jan@b.nl", hard_delete: true }),
    ];
    for (const { isError, content } of refused) {
      expect(isError).toBe(true);
      expect(content[0]?.text).toMatch(/^forbidden: This access lacks the scope "destroy", .*stdio --scopes/);
      expect(content[0]?.text).not.toContain("token");
    }
    const soft = await callTool(client, "remove-user", { email: "jan@b.nl" });
    expect(soft.structuredContent).toMatchObject({ deleted: "soft", revision: expect.any(Number) });
    const entries = rawDatabase(database)
      .prepare("SELECT principal, door, tool, outcome FROM audit_log WHERE door = 'stdio' ORDER BY id")
      .all();
    expect(entries).toMatchObject([
      { principal: "operator", tool: "remove-domain", outcome: "forbidden" },
      { principal: "operator", tool: "remove-user", outcome: "forbidden" },
      { principal: "operator", tool: "remove-user", outcome: "done" },
    ]);
  },
);

test("a client for some domains sees and changes no other, and learns nothing about nodes", async () => {
  const environment = { M25_MAIL_DOMAINS: "A.nl, bücher.example" };
  const client = await connectStdio("2.x legacy", await newDatabase(), [], environment);
  expect((await client.listTools()).tools).toHaveLength(7);
  expect(client.getInstructions()).toContain("for some domains only");
  expect((await callTool(client, "list-domains")).structuredContent).toMatchObject({
    domains: [{ domain: "a.nl" }],
    total: 1,
  });
  for (const [endpoint, input, said] of [
    ["list-users", { domain: "b.nl" }, /^domain_not_found: /],
    ["remove-user", { email: "jan@b.nl" }, /^user_not_found: /],
    ["add-domain", { domain: "c.nl" }, /^forbidden: .*some domains only/],
    ["list-nodes", {}, /^forbidden: .*some domains only/],
  ] as const) {
    const { isError, content } = await callTool(client, endpoint, input);
    expect([isError, content[0]?.text]).toEqual([true, expect.stringMatching(said)]);
  }
  const own = await callTool(client, "add-domain", { domain: "bücher.example" });
  expect(own.structuredContent).toMatchObject({ domain: "xn--bcher-kva.example", revision: null });
});

test("a client that may not see nodes is not told to look at them", async () => {
  const client = await connectStdio("1.x", await newDatabase(), [], { M25_MAIL_SCOPES: "read,write" });
  expect(client.getInstructions()).toContain("live within a minute");
  expect(client.getInstructions()).not.toContain("list_nodes");
});

test("the flag overrides the variable", async () => {
  const { child, finished } = startM25mail(
    ["stdio", "--scopes", "read", "--domains", "b.nl", "--db", await newDatabase()],
    { environment: { M25_MAIL_SCOPES: "write", M25_MAIL_DOMAINS: "a.nl" } },
  );
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "t", version: "1" } };
  const call = { name: "m25_mail_list_users", arguments: {} };
  let said = "";
  child.stdout.on("data", (text: string) => {
    said += text;
  });
  child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params })}\n`);
  child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 2, method: "tools/call", params: call })}\n`);
  await expect.poll(() => said).toContain('"id":2');
  child.stdin.end();
  expect((await finished).stdout).toContain("jan@b.nl");
});

test.each([
  [["--scopes", "reed"], /^--scopes takes one or more of read,write,destroy,nodes\.\n/],
  [["--scopes", "read write"], /^--scopes takes/],
  [["--scopes", "READ"], /^--scopes takes/],
  [["--scopes", ""], /^--scopes takes/],
  [["--scopes", ","], /^--scopes takes/],
  [["--domains", ""], /^--domains takes one or more domains, such as [^\n]*\.\n/],
  [["--domains", "a.nl,b_c.nl"], /^--domains takes .* only letters, digits, hyphens and dots\.\n/],
  [["--domains", "a.nl", "--scopes", "read,nodes"], /^--scopes: The scope nodes .* exclude each other/],
  [["--read-only", "--scopes", "write,destroy"], /^--read-only and --scopes together leave no tool/],
  [["--scopes", "read", "--scopes", "write"], /^--scopes is given more than once/],
])("stdio %j is refused before a database is created", async (flags, said) => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const { code, stdout, stderr } = await m25mail(["stdio", "--db", database, ...flags]);
  expect([code, stdout]).toEqual([2, ""]);
  expect(stderr).toMatch(said);
  expect(stderr).toMatch(/\nSee: m25-mail stdio --help\n$/);
});

test.each(["M25_MAIL_SCOPES", "M25_MAIL_DOMAINS"])(
  "an empty %s is refused instead of allowing everything, because a host may have set it by mistake",
  async (name) => {
    const answer = await m25mail(["stdio", "--db", await newDatabase()], { environment: { [name]: "" } });
    expect(answer).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringContaining("takes one or more"),
    });
  },
);

test("the variables apply to stdio only: a token made with them set may do everything", async () => {
  const environment = { M25_MAIL_SCOPES: "read", M25_MAIL_DOMAINS: "a.nl" };
  const args = ["--db", await newDatabase()];
  expect(await m25mail(["token", "create", "t", ...args], { environment })).toMatchObject({ code: 0 });
  const { stdout } = await m25mail(["token", "list", "--json", ...args], { environment });
  expect(JSON.parse(stdout).tokens).toMatchObject([
    { scopes: ["read", "write", "destroy", "nodes"], domains: null },
  ]);
});
