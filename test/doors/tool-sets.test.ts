import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { connectStdio } from "../support/clients.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { m25mail } from "../support/program.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";

interface Listed {
  result: { tools: Array<{ name: string }>; instructions: string };
}

async function namesAt(server: TestServer, token = server.token): Promise<string[]> {
  const answer = await postMcp({ ...server, token }, rpc("tools/list"));
  return (JSON.parse(answer.body) as Listed).result.tools.map(({ name }) => name);
}

async function instructionsOf(server: TestServer): Promise<string> {
  const clientInfo = { name: "test", version: "1" };
  const params = { protocolVersion: "2025-06-18", capabilities: {}, clientInfo };
  const { body } = await postMcp(server, rpc("initialize", params));
  return (JSON.parse(body) as Listed).result.instructions;
}

const INPUT = { email: "jan@example.nl", quota_mb: 2048, login: "off" };

async function withJan(server: TestServer): Promise<void> {
  await server.api("add-domain", { domain: "example.nl" });
  await server.api("add-user", { email: "jan@example.nl", password: "brown hen in a tall tree" });
}

test("without --tools a server offers the nine tools alone, by every door", async () => {
  const server = await startServer();
  await withJan(server);
  expect(await namesAt(server)).toHaveLength(9);
  expect(await instructionsOf(server)).not.toContain("set_user");
  expect((await server.api("set-user", INPUT)).status).toBe(404);
  const { paths } = (await server.api("openapi.json")).body as { paths: object };
  expect(Object.keys(paths)).toHaveLength(9);
});

test("a set that is on is offered over MCP, REST and in the OpenAPI document", async () => {
  const server = await startServer({ tools: "people" });
  await withJan(server);
  expect(await namesAt(server)).toEqual(expect.arrayContaining(["m25_mail_set_user"]));
  expect(await instructionsOf(server)).toMatch(/m25_mail_set_user changes a quota/);
  expect(await instructionsOf(server)).not.toMatch(/user set,/);
  const { status, body } = await server.api("set-user", INPUT);
  expect({ status, body }).toMatchObject({ status: 200, body: INPUT });
  const { paths } = (await server.api("openapi.json")).body as { paths: object };
  expect(paths).toHaveProperty(["/api/set-user", "post"]);
});

test("a token gets of a set what its scopes allow", async () => {
  const server = await startServer({ tools: "people" });
  const { stdout } = await m25mail([
    "token",
    "create",
    "reader",
    "--scopes",
    "read",
    "--db",
    server.database,
  ]);
  const token = stdout.trim();
  expect(await namesAt(server, token)).not.toContain("m25_mail_set_user");
  expect(await server.api("set-user", INPUT, token)).toMatchObject({
    status: 403,
    body: { code: "forbidden", detail: expect.stringContaining('"write"') },
  });
});

test("--read-only leaves out a set's tools that change something", async () => {
  const server = await startServer({ tools: "people", "read-only": "true" });
  expect(await namesAt(server)).not.toContain("m25_mail_set_user");
});

test("stdio offers a set that its variable turns on, and without it the nine", async () => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const listed = async (environment?: Record<string, string>) => {
    const client = await connectStdio("2.x legacy", database, [], environment);
    return (await client.listTools()).tools.map(({ name }) => name);
  };
  expect(await listed()).toHaveLength(9);
  expect(await listed({ M25_MAIL_TOOLS: "" })).toHaveLength(9);
  expect(await listed({ M25_MAIL_TOOLS: "people" })).toContain("m25_mail_set_user");
});

test("a set that does not exist is refused, with those that do", async () => {
  for (const command of ["serve", "stdio"]) {
    const { code, stderr } = await m25mail([command, "--tools", "people,pigeons"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^--tools takes one or more of .*\bpeople\b/);
  }
});

test("the operator has every set's operations at the shell", async () => {
  const server = await startServer();
  await withJan(server);
  const shell = (...args: string[]) => m25mail([...args, "--db", server.database]);
  expect(
    (await shell("call", "set-user", "--email", "jan@example.nl", "--login", "off", "--json")).stdout,
  ).toContain('"login":"off"');
  expect((await m25mail(["call", "set-user", "--help"])).stdout).toContain("--quota-mb");
  expect((await m25mail(["--help"])).stdout).toContain("set-user");
});

test("nothing loads a set but --tools and the shell", () => {
  const root = join(import.meta.dirname, "../..");
  const importers = globSync("{src,tools}/**/*.ts", { cwd: root }).filter(
    (file) =>
      !/^(tools\/sets\/\w+|src\/doors\/owner|src\/doors\/cli\/import)\//.test(file) &&
      /sets\/\w+\//.test(readFileSync(join(root, file), "utf8")),
  );
  expect(importers.sort()).toEqual([
    "src/doors/cli/call-command.ts",
    "src/doors/cli/tool-usage.ts",
    "src/program/dkim-looks.ts", // by import(), when a key is due
  ]);
  const index = readFileSync(join(root, "tools/sets/index.ts"), "utf8");
  expect(index).not.toMatch(/^import .*people/m);
});
