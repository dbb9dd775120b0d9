import { expect, test } from "vitest";
import { NodeLimits } from "../../src/doors/sync/node-limits.ts";
import { newCredential } from "../../tools/call/credential.ts";
import { callTool, connectHttp, connectStdio } from "../support/clients.ts";
import { http } from "../support/http.ts";
import { postMcp } from "../support/mcp.ts";
import { m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { PASSWORD, testRuntime, testStore } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** The limit on the maps that a node gets within a minute. */
const BYTES = 128 * 1024 * 1024;

/** Sends a request from this address, through a trusted proxy. */
function from(server: TestServer, address: string, path: string, credential?: string) {
  const headers: Record<string, string> = { "x-forwarded-for": address };
  if (credential !== undefined) headers.authorization = `Bearer ${credential}`;
  return http(`${server.url}${path}`, { headers });
}

async function createToken(server: TestServer, name: string): Promise<string> {
  return String((await testRuntime(server.store).must("create-token", { name })).token);
}

test("a token that asks too often is told when to retry, and others continue", async () => {
  const server = await startServer({ "limit-requests": "5" });
  const other = await createToken(server, "other");
  for (let index = 0; index < 5; index += 1)
    expect(await server.api("list-domains")).toMatchObject({ status: 200 });
  for (const path of ["/api/list-domains", "/api/openapi.json", "/mcp", "/nowhere"]) {
    const answer = await from(server, "", path, server.token);
    expect(answer.status, path).toBe(429);
    expect(answer.headers["retry-after"]).toMatch(/^1[0-2]$/);
    expect(JSON.parse(answer.body)).toMatchObject({
      code: "busy",
      hint: expect.stringMatching(/\b1[0-2] seconds/),
    });
  }
  expect((await server.api("list-domains", undefined, other)).status).toBe(200);
});

test("a request with many calls counts as that many calls", async () => {
  const server = await startServer({ "limit-requests": "2" });
  const calls = Array.from({ length: 4 }, (_, id) => ({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name: "m25_mail_list_domains", arguments: {} },
  }));
  const { body } = await postMcp(server, calls);
  expect(body.match(/"isError":true/g)).toHaveLength(2);
  expect(body.match(/busy: Too many calls within a minute/g)).toHaveLength(2);
});

test("the limit on passwords has the same words in REST and in MCP", async () => {
  const server = await startServer({ "limit-passwords": "2" });
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  const client = await connectHttp("2.x 2026-07-28", server.url, server.token);
  const add = (name: string) => ({ email: `${name}@example.nl`, password: PASSWORD });
  expect((await server.api("add-user", add("an"))).status).toBe(200);
  expect((await callTool(client, "add-user", add("bo"))).isError).toBeFalsy();
  const { body, status } = await server.api("add-user", add("cor"));
  expect({ status, ...body }).toMatchObject({ status: 429, code: "busy", hint: /\b(2[5-9]|30) seconds/ });
  const refused = await callTool(client, "add-user", add("dirk"));
  expect(refused.isError).toBe(true);
  expect(refused.content[0]?.text).toMatch(
    /^busy: Too many passwords within a minute\. .*\b(2[5-9]|30) seconds/,
  );
  expect(await must("list-users")).toMatchObject({ total: 2 });
});

test("an assistant on the same machine has a limit on hard deletes, a person at the shell has none", async () => {
  const { file, must } = testStore();
  for (const domain of ["a.nl", "b.nl", "c.nl", "d.nl"]) await must("add-domain", { domain });
  const environment = { M25_MAIL_LIMIT_DESTRUCTIVE: "1" };
  const client = await connectStdio("1.x", file, [], environment);
  expect((await callTool(client, "remove-domain", { domain: "a.nl" })).isError).toBeFalsy();
  const refused = await callTool(client, "remove-domain", { domain: "b.nl" });
  expect(refused.content[0]?.text).toMatch(/^busy: .* \b(60|59|58) seconds/);
  for (const domain of ["b.nl", "c.nl"]) {
    const args = ["call", "remove-domain", "--domain", domain, "--db", file];
    expect((await m25mail(args, { environment })).code).toBe(0);
  }
});

test("requests without a credential have a limit per address, with an IPv6 /64 as one, and those with one do not", async () => {
  const server = await startServer({ "limit-requests": "3", "trusted-proxies": "127.0.0.1" });
  const health = async (address: string) => (await from(server, address, "/healthz")).status;
  const answers = [];
  for (const host of ["1", "2:3::", "ffff", "4"])
    answers.push(await health(`2001:db8:1:2::${host}`.replace(/::(.*)::/, ":$1::")));
  expect(answers).toEqual([200, 200, 200, 429]);
  expect(await health("2001:db8:1:3::1")).toBe(200);
  expect((await from(server, "2001:db8:1:2::1", "/api/list-domains", server.token)).status).toBe(200);
});

test("a hundred nodes behind one address may poll without limit", async () => {
  const server = await startServer({ "limit-requests": "1" });
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  const nodes = [];
  for (let index = 0; index < 100; index += 1) {
    const { sync_key } = await must("add-node", { name: `node-${index}` });
    nodes.push(new SyncingNode(server.url, String(sync_key)));
  }
  for (const status of [200, 304, 304]) {
    const polled = await Promise.all(nodes.map((node) => node.poll()));
    expect(new Set(polled.map((answer) => answer.status))).toEqual(new Set([status]));
  }
  const waiting = nodes.map((node) => node.poll({ prefer: "wait=55" }));
  await must("add-domain", { domain: "other.nl" });
  expect((await Promise.all(waiting)).map(({ kind }) => kind)).toEqual(nodes.map(() => "delta"));
});

test("a node gets few keys a minute, and the audit log grows no faster", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  const keys = [];
  for (const name of ["one", "two"]) keys.push(String((await must("add-node", { name })).sync_key));
  const [one = "", two = ""] = keys;
  const ask = (credential: string) =>
    http(`${server.url}/sync/v1/key`, { method: "POST", headers: { authorization: `Bearer ${credential}` } });
  const answers = await Promise.all(Array.from({ length: 40 }, () => ask(one)));
  const given = answers.filter(({ status }) => status === 200);
  expect(given).toHaveLength(6);
  const refused = answers.find(({ status }) => status !== 200);
  expect(refused).toMatchObject({ status: 429, headers: { "retry-after": "10" } });
  expect(JSON.parse(refused?.body ?? "")).toMatchObject({
    code: "busy",
    detail: expect.stringContaining("keys"),
  });
  const rows = rawDatabase(server.database).prepare("SELECT * FROM audit_log WHERE door = 'sync'").all();
  expect(rows).toHaveLength(given.length);
  expect((await ask(two)).status).toBe(200);
});

test("a node's reports and whole snapshots have a limit, and its deltas do not", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  const key = String((await must("add-node", { name: "pi" })).sync_key);
  const node = new SyncingNode(server.url, key);
  expect((await node.poll()).status).toBe(200);
  const authorization = `Bearer ${key}`;
  const many = async (count: number, path: string, method: string) => {
    const asked = Array.from({ length: count }, () =>
      http(`${server.url}/sync/v1/${path}`, { method, headers: { authorization } }),
    );
    const statuses = (await Promise.all(asked)).map(({ status }) => status);
    return new Set(statuses);
  };
  expect(await many(100, "maps", "GET")).toEqual(new Set([200, 429]));
  expect(await many(400, "report", "POST")).toEqual(new Set([400, 429]));
  for (let index = 0; index < 100; index += 1) {
    expect((await node.poll()).status).toBe(304);
    await must("add-domain", { domain: `d${index}.nl` });
    expect((await node.poll()).kind).toBe("delta");
  }
});

test("a node may continue as its counted bytes decrease, and one snapshot of any size is allowed", () => {
  let now = 0;
  const limits = new NodeLimits(() => now);
  const node = { id: 1 };
  const huge = { kind: "snapshot", size: 3 * BYTES } as const;
  limits.maps(node, huge);
  expect(() => limits.maps(node, { kind: "delta", size: 1 })).toThrow(
    expect.objectContaining({ code: "busy" }),
  );
  now += 119_000;
  expect(() => limits.maps(node, huge)).toThrow(expect.objectContaining({ code: "busy" }));
  now += 2_000;
  limits.maps(node, huge);
});

test.each([
  ["access tokens", "/api/list-domains", "token"],
  ["sync keys", "/sync/v1/maps", "syncKey"],
] as const)(
  "wrong %s are answered with growing delays, a right one at once, even from the same address",
  async (_kind, path, kind) => {
    const server = await startServer({ "trusted-proxies": "127.0.0.1" });
    const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
    const right = kind === "token" ? server.token : key;
    const ask = async (address: string, credential: string) =>
      (await from(server, address, path, credential)).status;
    const wrong = () => ask("198.51.100.7", newCredential(kind).text);
    const began = Date.now();
    const many = await Promise.all(Array.from({ length: 40 }, wrong));
    expect(new Set(many)).toEqual(new Set([401]));
    expect(Date.now() - began).toBeGreaterThanOrEqual(1_000); // twenty at once, then 10 ms, 20, 40 … 1 s

    const order: string[] = [];
    const note = (who: string) => (status: number) => order.push(`${who} ${status}`);
    await Promise.all([
      wrong().then(note("wrong")),
      ask("198.51.100.7", right).then(note("right")),
      ask("198.51.100.8", newCredential(kind).text).then(note("elsewhere")),
      ask("198.51.100.7", "no credential at all").then(note("nonsense")),
    ]);
    expect(order.slice(0, 3).toSorted()).toEqual(["elsewhere 401", "nonsense 401", "right 200"]);
    expect(order.at(-1)).toBe("wrong 401");
  },
);
