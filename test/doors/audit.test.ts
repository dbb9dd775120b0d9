import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { callTool, clientKinds, connectHttp, connectStdio } from "../support/clients.ts";
import { databaseAt, onPostgresql } from "../support/engine.ts";
import { http } from "../support/http.ts";
import { postCall } from "../support/mcp.ts";
import { claudeFlow, startOAuthServer, tokensFor } from "../support/oauth.ts";
import { ENTRY, environmentOf, m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, testStore } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

type Entry = Record<string, unknown>;

/** Returns the entries that `m25-mail audit --json` prints, without the server's own first ones. */
async function audit(database: string, ...args: string[]): Promise<Entry[]> {
  const { code, stdout, stderr } = await m25mail([
    "audit",
    "--json",
    "--db",
    await databaseAt(database),
    ...args,
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: stdout === "" ? "no entries\n" : "" });
  const entries: Entry[] = stdout
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  return entries.filter(({ tool }) => tool !== "create-token" && tool !== "set-audit-retention");
}

test("calls by every door are recorded with principal, program and outcome", async () => {
  const { url, token, database, api } = await startServer();
  for (const [n, kind] of clientKinds.entries()) {
    const client = await connectHttp(kind, url, token);
    await callTool(client, "add-domain", { domain: `http-${n}.nl` });
    await callTool(await connectStdio(kind, database), "add-domain", { domain: `stdio-${n}.nl` });
  }
  await http(`${url}/api/add-domain`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "user-agent": "curl/8.5.0 (x)",
    },
    body: JSON.stringify({ domain: "rest.nl" }),
  });
  await api("remove-domain", { domain: "none.nl" });
  await m25mail(["call", "add-domain", "--domain", "cli.nl", "--db", database]);
  const entries = (await audit(database)).map(({ principal, door, client, outcome, revision }) => [
    principal,
    door,
    client,
    outcome,
    revision,
  ]);
  expect(entries).toEqual([
    ["first", "mcp", expect.stringMatching(/^node/), "done", 1], // 2025 over HTTP: each request stands alone
    ["operator", "stdio", "test", "done", 2],
    ["first", "mcp", expect.stringMatching(/^node/), "done", 3],
    ["operator", "stdio", "test", "done", 4],
    ["first", "mcp", "test", "done", 5],
    ["operator", "stdio", "test", "done", 6],
    ["first", "rest", "curl/8.5.0", "done", 7],
    ["first", "rest", "node", "domain_not_found", 7],
    ["operator", "cli", null, "done", 8],
  ]);
});

test("a client's name is recorded shortened, with harmless characters and without credentials", async () => {
  const { url, token, database } = await startServer();
  const call = { name: "m25_mail_remove_domain", arguments: { domain: "none.nl" } };
  for (const name of ["a\u001b[31mb\n\u202ec", "x".repeat(5000), `${token}`]) {
    expect((await postCall({ url, token }, call, { name })).body).toContain("domain_not_found");
  }
  expect((await audit(database)).map(({ client }) => client)).toEqual([
    "a??31mb??c",
    "x".repeat(64),
    "?secret?",
  ]);
});

// A restore is SQLite's own.
test.skipIf(onPostgresql)("changes by nodes and operators without a tool are recorded too", async () => {
  const { url, database, api } = await startServer();
  const { body } = await api("add-node", { name: "pi" });
  const node = new SyncingNode(url, String(body.sync_key));
  await node.poll();
  const fresh = await http(`${url}/sync/v1/key`, {
    method: "POST",
    headers: { authorization: `Bearer ${node.key}` },
  });
  node.key = JSON.parse(fresh.body).sync_key;
  await Promise.all([node.poll(), node.poll(), node.poll()]);
  const copy = join(temporaryFolder(), "copy.db");
  await backUp(database, copy);
  await restore(database, copy);
  expect((await audit(database)).map(({ principal, door, tool }) => `${principal} ${door} ${tool}`)).toEqual([
    "first rest add-node",
    "node pi sync rotate-key",
    "node pi sync end-old-key",
    "operator cli restore",
  ]);
});

test("grants by OAuth are recorded", async () => {
  const server = await startOAuthServer();
  await tokensFor(server, claudeFlow, { domains: ["example.nl"] });
  expect((await audit(server.database)).filter(({ door }) => door === "oauth")).toMatchObject([
    {
      principal: "operator",
      tool: "allow-client",
      arguments: { client: "Claude", scopes: expect.any(Array), domains: ["example.nl"] },
      outcome: "done",
      address: "127.0.0.1",
      request: expect.stringMatching(/^[0-9a-f]{8}-/),
    },
  ]);
});

test("an entry, also of a refusal, has its request's address and id, and one from the shell has neither", async () => {
  const server = await startServer({ "trusted-proxies": "127.0.0.1" });
  const behindProxy = { authorization: `Bearer ${server.token}`, "x-forwarded-for": "203.0.113.7" };
  const call = { name: "m25_mail_add_domain", arguments: { domain: "mcp.nl" } };
  await postCall({ url: server.url, token: server.token }, call, { name: "test" });
  for (const path of ["add-domain", "remove-domain", "add-node"]) {
    const body = JSON.stringify(path === "add-node" ? { name: "pi" } : { domain: `${path}.nl` });
    const headers = { ...behindProxy, "content-type": "application/json" };
    await http(`${server.url}/api/${path}`, { method: "POST", headers, body });
  }
  await callTool(await connectStdio("1.x", server.database), "add-domain", { domain: "stdio.nl" });
  await m25mail(["call", "add-domain", "--domain", "cli.nl", "--db", server.database]);
  const entries = await audit(server.database);
  const request = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-z]+$/);
  expect(entries).toMatchObject([
    { door: "mcp", outcome: "done", address: "127.0.0.1", request },
    { door: "rest", outcome: "done", address: "203.0.113.7", request },
    { door: "rest", outcome: "domain_not_found", address: "203.0.113.7", request },
    { door: "rest", outcome: "done", address: "203.0.113.7", request },
    { door: "stdio", address: null, request: null },
    { door: "cli", address: null, request: null },
  ]);
  const ids = entries.map((entry) => entry.request).filter((id) => id !== null);
  expect(new Set(ids).size).toBe(4);
  for (const id of ids) {
    await expect.poll(() => server.log.some((line) => line.includes(String(id)))).toBe(true);
  }
  const { stdout } = await m25mail(["audit", "--db", server.database]);
  expect(stdout).toContain(`first (rest, 203.0.113.7)  add-domain  done  revision 2  request ${ids[1]}  {`);
  expect(stdout).toContain("operator (cli)  add-domain  done  revision 4  {");
});

test("a change by a node is recorded with the node's address and request", async () => {
  const server = await startServer({ "trusted-proxies": "127.0.0.1" });
  const { body } = await server.api("add-node", { name: "pi" });
  const node = new SyncingNode(server.url, String(body.sync_key));
  const from = { "x-forwarded-for": "198.51.100.7" };
  await node.poll(from);
  const headers = { ...from, authorization: `Bearer ${node.key}` };
  node.key = JSON.parse((await http(`${server.url}/sync/v1/key`, { method: "POST", headers })).body).sync_key;
  await node.poll(from);
  const request = expect.stringMatching(/^[0-9a-f]{8}-[0-9a-z]+$/);
  const byTheNode = (await audit(server.database)).filter(({ door }) => door === "sync");
  expect(byTheNode).toMatchObject([
    { tool: "rotate-key", address: "198.51.100.7", request },
    { tool: "end-old-key", address: "198.51.100.7", request },
  ]);
});

test("audit entries can be selected by time and principal, and printed for people", async () => {
  let now = Date.now() - 3 * 86_400_000;
  const { must, run, file } = testStore({ now: () => new Date(now) });
  await must("add-domain", { domain: "old.nl" });
  now += 2 * 86_400_000;
  await must("add-domain", { domain: "young.nl" });
  await run(
    "add-domain",
    { domain: "young.nl" },
    { name: "claude", door: "mcp", scopes: new Set(["write"]) },
  );
  const domains = async (...args: string[]) =>
    (await audit(file, ...args)).map((entry) => (entry.arguments as Entry).domain);
  const found = await Promise.all([
    domains(),
    domains("--since", "36h"),
    domains("--since", "2d", "--principal", "claude"),
    domains("--since", new Date(now).toISOString()),
    domains("--since", new Date(now + 1).toISOString()),
  ]);
  const both = ["young.nl", "young.nl"];
  expect(found).toEqual([["old.nl", ...both], both, ["young.nl"], both, []]);
  const { stdout } = await m25mail([
    "audit",
    "--since",
    "2d",
    "--principal",
    "claude",
    "--db",
    await databaseAt(file),
  ]);
  expect(stdout).toBe(
    `${new Date(now).toISOString()}  claude (mcp)  add-domain  domain_exists  revision 2  {"domain":"young.nl"}\n`,
  );
  expect(await m25mail(["audit", "--since", "yesterday", "--db", await databaseAt(file)])).toMatchObject({
    code: 2,
    stdout: "",
  });
});

test("stored text cannot send control characters to the terminal", async () => {
  const { store, file } = testStore();
  await store.write(({ audit: log }) =>
    log.append({
      at: new Date().toISOString(),
      principal: "evil\u001b[2J\u009b31m\u202e",
      door: "cli",
      client: "a\nb",
      tool: "add-domain",
      arguments: { domain: "\u0085\u2028" },
    }),
  );
  const { stdout } = await m25mail(["audit", "--db", await databaseAt(file)]);
  expect(stdout).toMatch(/^[ -~]+\n$/);
  expect(stdout).toContain("evil\\u001b[2J\\u009b31m\\u202e (cli, a\\u000ab)");
  expect(await audit(file)).toMatchObject([{ client: "a\nb", arguments: { domain: "\u0085\u2028" } }]);
});

test("a long audit log is complete and in order, and a reader may stop early", async () => {
  const { store, file } = testStore();
  const entry = { principal: "claude", door: "mcp", tool: "add-domain", arguments: {} };
  const begin = Date.now();
  await store.write(async ({ audit: log }) => {
    for (let n = 0; n < 2500; n += 1) {
      // Times that repeat and go back, as clocks do.
      await log.append({ ...entry, at: new Date(begin + (n % 7)).toISOString() });
    }
  });
  const entries = await audit(file);
  expect(new Set(entries.map(({ id }) => id)).size).toBe(2500);
  const times = entries.map(({ at }) => String(at));
  expect(times).toEqual(times.toSorted());
  const reader = spawn(process.execPath, [ENTRY, "audit", "--db", await databaseAt(file)], {
    env: environmentOf(),
  });
  let stderr = "";
  reader.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  await once(reader.stdout, "data");
  reader.stdout.destroy();
  const [code] = await once(reader, "close");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
});

test("entries past their retention are removed when the server starts, and the setting itself is recorded", async () => {
  const old = await startServer({}, { now: () => new Date(Date.now() - 40 * 86_400_000) });
  await old.api("add-domain", { domain: "old.nl" });
  await old.close();
  const kept = await startServer({ db: old.database });
  await kept.api("list-domains");
  await kept.close();
  expect(await audit(old.database)).toHaveLength(1);
  const server = await startServer({ db: old.database, "audit-retention": "30" });
  await expect.poll(() => audit(old.database)).toHaveLength(0);
  await server.close();
  const { stdout } = await m25mail(["audit", "--db", old.database]);
  expect(stdout).toMatch(/operator \(cli\) {2}set-audit-retention {2}done {2}revision 1 {2}\{"days":30\}/);
});
