import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { callTool, connectHttp } from "../support/clients.ts";
import { onPostgresql } from "../support/engine.ts";
import { http } from "../support/http.ts";
import { m25mail, startM25mail } from "../support/program.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { temporaryFolder } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** Returns the samples of /metrics by name and labels, as Prometheus reads them. */
async function scrape({ url, token }: Pick<TestServer, "url" | "token">): Promise<Record<string, number>> {
  const answer = await http(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  expect(answer.status).toBe(200);
  expect(answer.headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
  const samples = answer.body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    samples.map((line) => {
      const at = line.lastIndexOf(" ");
      return [line.slice(0, at).replace(/^m25_mail_/, ""), Number(line.slice(at + 1))];
    }),
  );
}

async function tokenWith(server: TestServer, ...flags: string[]): Promise<string> {
  const { stdout } = await m25mail(["token", "create", "prometheus", ...flags, "--db", server.database]);
  return stdout.trim();
}

test("requests, calls, nodes and the database are counted", async () => {
  const server = await startServer();
  const { url, token, api } = server;
  await api("add-domain", { domain: "example.nl" });
  await api("add-user", { email: "jan@example.nl", password: "correct horse battery" });
  await api("add-user", { email: "piet@example.nl", password: "correct horse battery" });
  await api("remove-user", { email: "piet@example.nl" });
  await api("remove-domain", { domain: "none.nl" });
  const mcp = await connectHttp("2.x 2026-07-28", url, token);
  await callTool(mcp, "remove-domain", { domain: "none.nl" });
  await api("list-domains", undefined, "nonsense");
  const node = new SyncingNode(url, String((await api("add-node", { name: "pi" })).body.sync_key));
  await api("add-node", { name: "unseen" });
  await node.poll();
  for (let n = 0; n < 3; n += 1) expect((await node.poll()).status).toBe(304);
  const state = node.state;
  const report = { revision: 1, history: state?.history, digest: "", counts: { domains: 0, users: 0 } };
  await http(`${url}/sync/v1/report`, {
    method: "POST",
    headers: { authorization: `Bearer ${node.key}`, "content-type": "application/json" },
    body: JSON.stringify({ ...report, status: "applied", reason: null, count: null, version: "1" }),
  });
  // Contacts are written once a second.
  await expect.poll(async () => (await scrape(server))['nodes{status="behind",lag="1-9"}']).toBe(1);
  expect(await scrape(server)).toMatchObject({
    'http_requests_total{route="/api/add-user",status="200"}': 2,
    'http_requests_total{route="/api/remove-domain",status="404"}': 1,
    'http_requests_total{route="/api/list-domains",status="401"}': 1,
    'http_requests_total{route="/sync/v1/maps",status="200"}': 1,
    'http_requests_total{route="/sync/v1/maps",status="304"}': 3,
    'tool_calls_total{tool="add-user",outcome="done"}': 2,
    'tool_calls_total{tool="remove-domain",outcome="domain_not_found"}': 2,
    'nodes{status="never",lag="unknown"}': 1,
    'nodes{status="current",lag="0"}': 0,
    node_lag_revisions_max: 3,
    revision: 4,
    domains: 1,
    'mailboxes{state="active"}': 1,
    'mailboxes{state="inactive"}': 1,
    password_hashes: 0,
    polls_waiting: 0,
    [`database_bytes{file="${onPostgresql ? "database" : "wal"}"}`]: expect.any(Number),
  });
  await node.poll();
  expect(await scrape(server)).toMatchObject({
    'http_requests_total{route="/sync/v1/maps",status="304"}': 4,
  });
});

test("the metrics show waiting nodes and passwords being hashed", async () => {
  const server = await startServer({ "hash-cost": "12" });
  await server.api("add-domain", { domain: "example.nl" });
  const node = new SyncingNode(
    server.url,
    String((await server.api("add-node", { name: "pi" })).body.sync_key),
  );
  await node.poll();
  const waiting = node.poll({ prefer: "wait=50" });
  await expect.poll(async () => (await scrape(server)).polls_waiting).toBe(1);
  const adding = ["a", "b", "c", "d"].map((name) =>
    server.api("add-user", { email: `${name}@example.nl`, password: "correct horse battery" }),
  );
  await expect.poll(async () => (await scrape(server)).password_hashes).toBeGreaterThan(0);
  await Promise.all(adding);
  await waiting;
  expect(await scrape(server)).toMatchObject({ polls_waiting: 0, password_hashes: 0 });
});

test("the metrics need a token that may read all domains", async () => {
  const server = await startServer();
  const ask = async (token: string) =>
    (await http(`${server.url}/metrics`, { headers: { authorization: `Bearer ${token}` } })).status;
  expect(await ask("")).toBe(401);
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  expect(await ask(key)).toBe(401);
  await server.api("add-domain", { domain: "example.nl" });
  expect(await ask(await tokenWith(server, "--scopes", "read"))).toBe(200);
  await m25mail(["token", "revoke", "prometheus", "--db", server.database]);
  expect(await ask(await tokenWith(server, "--scopes", "read", "--domains", "example.nl"))).toBe(403);
  await m25mail(["token", "revoke", "prometheus", "--db", server.database]);
  expect(await ask(await tokenWith(server, "--scopes", "write,destroy,nodes"))).toBe(403);
});

test("callers cannot add time series, and the metrics contain no user's name", async () => {
  const server = await startServer();
  const { url, token, api } = server;
  await api("add-domain", { domain: "example.nl" });
  await api("add-user", { email: "jan@example.nl", password: "correct horse battery" });
  const { body: node } = await api("add-node", { name: "pi-amsterdam" });
  await scrape(server);
  const before = Object.keys(await scrape(server));
  for (let n = 0; n < 20; n += 1) {
    const headers = { authorization: `Bearer ${token}`, "user-agent": `evil-${n}` };
    await http(`${url}/api/list-domains?${n}=${n}`, { headers });
    await http(`${url}/evil-${n}`, { headers });
    const asNode = { authorization: `Bearer ${node.sync_key}` };
    await http(`${url}/sync/v1/maps/evil-${n}`, { headers: asNode, method: "PUT" });
    await api(`evil-${n}`);
    await api("add-domain", { [`evil-${n}`]: `evil-${n}.nl` });
  }
  const after = Object.keys(await scrape(server));
  expect(after.length - before.length).toBeLessThanOrEqual(5);
  expect(after.join()).not.toMatch(/evil|jan|example|amsterdam|127\.0\.0\.1|first/);
});

test("the shipped program has metrics and logs JSON", async () => {
  const database = join(temporaryFolder(), "m25-mail.db");
  const flags = ["serve", "--port", "0", "--db", database, "--log-format", "json"];
  const running = startM25mail(flags);
  const [, url = ""] = await running.says(/^\{.*serves (http:\S+)/m);
  const token = readFileSync(join(database, "..", "first-token"), "utf8").trim();
  expect(await scrape({ url, token })).toMatchObject({ domains: 0, revision: 0 });
});
