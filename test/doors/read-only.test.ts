import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { callTool, connectHttp, connectStdio, type McpClient } from "../support/clients.ts";
import { m25mail, serveProcess, startM25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, testRuntime } from "../support/store.ts";

const READING = ["m25_mail_list_domains", "m25_mail_list_users", "m25_mail_list_nodes"];

async function newDatabase(): Promise<string> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const store = openStore(database, { create: true });
  await testRuntime(store).must("add-domain", { domain: "example.nl" });
  await store.close();
  return database;
}

const waysIn: Record<string, (database: string) => Promise<McpClient>> = {
  stdio: (database) => connectStdio("2.x 2026-07-28", database, [], { M25_MAIL_READ_ONLY: "true" }),
  HTTP: async (db) => {
    const server = await startServer({ db, "read-only": "true" });
    return connectHttp("1.x", server.url, server.token);
  },
};

describe.each(Object.entries(waysIn))("read-only over %s", (_way, open) => {
  test("an assistant sees only the reading tools, and no tool that changes something", async () => {
    const client = await open(await newDatabase());
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(READING);
    expect(client.getInstructions()).toContain("only look");
    expect((await callTool(client, "list-domains")).structuredContent).toMatchObject({ total: 1 });
    await expect(callTool(client, "add-domain", { domain: "other.nl" })).rejects.toMatchObject({
      code: -32602,
      message: expect.stringMatching(/no such tool(?!.*m25_mail_add)/),
    });
  });
});

test("read-only REST has only the reading endpoints, and its document says so", async () => {
  const server = await startServer({ db: await newDatabase(), "read-only": "true" });
  expect(await server.api("list-domains")).toMatchObject({ status: 200, body: { total: 1 } });
  expect((await server.api("remove-domain", { domain: "example.nl" })).status).toBe(404);
  const { body } = await server.api("openapi.json");
  expect(Object.keys(body.paths as object)).toEqual([
    "/api/list-domains",
    "/api/list-users",
    "/api/list-nodes",
  ]);
});

test("--read-only is a flag, or a variable with the value true", async () => {
  const database = await newDatabase();
  await (await serveProcess(database, ["--read-only"])).says(/serves/);
  expect(await m25mail(["stdio", "--read-only", "--db", database])).toMatchObject({ code: 0, stderr: "" });
  const environment = { M25_MAIL_READ_ONLY: "perhaps", M25_MAIL_DB: database, M25_MAIL_PORT: "0" };
  const answer = await m25mail(["serve"], { environment });
  expect(answer).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--read-only is neither true nor false"),
  });
  await startM25mail(["serve"], { environment: { ...environment, M25_MAIL_READ_ONLY: "true" } }).says(
    /serves/,
  );
});
