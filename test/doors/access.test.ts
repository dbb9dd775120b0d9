import { expect, test } from "vitest";
import { newCredential } from "../../tools/call/credential.ts";
import { callTool, connectHttp } from "../support/clients.ts";
import { http } from "../support/http.ts";
import { m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

async function status(server: TestServer, path: string, authorization?: string): Promise<number> {
  const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
  return (await http(`${server.url}${path}`, { headers })).status;
}

async function createToken(server: TestServer, input: object): Promise<string> {
  return String((await testRuntime(server.store).must("create-token", input)).token);
}

test("a token opens REST and MCP, a sync key opens the sync, and neither opens the other's doors", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  expect(await status(server, "/api/list-domains", `Bearer ${server.token}`)).toBe(200);
  expect(await status(server, "/sync/v1/maps", `Bearer ${key}`)).toBe(200);
  expect(await status(server, "/sync/v1/maps", `Bearer ${server.token}`)).toBe(401);
  for (const path of ["/api/list-domains", "/api/openapi.json", "/mcp", "/nowhere"]) {
    expect(await status(server, path, `Bearer ${key}`), path).toBe(401);
  }
  const report = await http(`${server.url}/sync/v1/report`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.token}` },
  });
  expect(report.status).toBe(401);
});

test("a token rewritten as a key is refused, and so is a key rewritten as a token", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  expect(await status(server, "/api/list-domains", `Bearer ${key.replace("m25key", "m25tok")}`)).toBe(401);
  expect(await status(server, "/sync/v1/maps", `Bearer ${server.token.replace("m25tok", "m25key")}`)).toBe(
    401,
  );
});

test("anything but the exact token is refused", async () => {
  const server = await startServer();
  const { token } = server;
  const [prefix, id, secret = ""] = token.split("_");
  const wrong = [
    undefined,
    "",
    "Bearer",
    "Bearer ",
    token,
    `Basic ${Buffer.from(`user:${token}`).toString("base64")}`,
    `Token ${token}`,
    `Bearer ${token} ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(0, -1)}`,
    `Bearer ${token.toUpperCase()}`,
    `Bearer ${prefix}_${id}_${"0".repeat(64)}`,
    `Bearer ${prefix}_${"0".repeat(16)}_${secret}`,
    `Bearer ${secret}`,
    `Bearer ${newCredential("token").text}`,
    `Bearer ${"x".repeat(8000)}`,
  ];
  for (const authorization of wrong) {
    expect(await status(server, "/api/list-domains", authorization), authorization).toBe(401);
    // The same after a use of the right token, which the server then remembers.
    expect(await status(server, "/api/list-domains", `Bearer ${token}`)).toBe(200);
    expect(await status(server, "/api/list-domains", authorization), authorization).toBe(401);
  }
  expect(await status(server, "/api/list-domains", `bearer  ${token}`)).toBe(200);
});

test("no door accepts a token or a key in the address, where logs and browser histories would keep it", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  for (const path of ["/api/list-domains", "/mcp", "/metrics", "/sync/v1/maps", "/nowhere"]) {
    for (const credential of [server.token, key]) {
      for (const name of ["access_token", "token", "key", "authorization"]) {
        const query = new URLSearchParams({ [name]: credential, [`${name}2`]: `Bearer ${credential}` });
        expect(await status(server, `${path}?${query}`), `${path} ${name}`).toBe(401);
      }
    }
  }
});

test("a token expires at its time, to the millisecond", async () => {
  const noon = new Date("2026-03-01T12:00:00Z");
  let now = noon;
  const server = await startServer({}, { now: () => now });
  const shell = testRuntime(server.store, { now: () => noon });
  const token = String((await shell.must("create-token", { name: "day", expires: "1d" })).token);
  now = new Date("2026-03-02T11:59:59.999Z");
  expect((await server.api("list-domains", undefined, token)).status).toBe(200);
  now = new Date("2026-03-02T12:00:00Z");
  expect((await server.api("list-domains", undefined, token)).status).toBe(401);
});

test("a token that was revoked at the shell is refused at once", async () => {
  const server = await startServer();
  const other = await createToken(server, { name: "other" });
  expect((await server.api("list-domains", undefined, other)).status).toBe(200);
  const revoked = await m25mail(["token", "revoke", "other", "--db", server.database]);
  expect(revoked.code).toBe(0);
  expect((await server.api("list-domains", undefined, other)).status).toBe(401);
});

test("a removed node's key is refused at once", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  expect(await status(server, "/sync/v1/maps", `Bearer ${key}`)).toBe(200);
  await testRuntime(server.store).must("remove-node", { name: "pi" });
  expect(await status(server, "/sync/v1/maps", `Bearer ${key}`)).toBe(401);
});

test("scopes apply at every door", async () => {
  const server = await startServer();
  const token = await createToken(server, { name: "reader", scopes: ["read"] });
  expect((await server.api("list-users", undefined, token)).status).toBe(200);
  expect(await server.api("add-domain", { domain: "example.nl" }, token)).toMatchObject({
    status: 403,
    body: { code: "forbidden" },
  });
  const client = await connectHttp("1.x", server.url, token);
  const offered = (await client.listTools()).tools.map(({ name }) => name);
  expect(offered).toEqual(["m25_mail_list_domains", "m25_mail_list_users"]);
  const refused = await callTool(client, "add-domain", { domain: "example.nl" });
  expect(refused).toMatchObject({
    isError: true,
    content: [{ text: expect.stringMatching(/^forbidden: /) }],
  });
});

test("a token for one domain, made at the shell, sees and changes no other domain at any door", async () => {
  const server = await startServer();
  for (const domain of ["a.nl", "b.nl"]) await server.api("add-domain", { domain });
  const made = await m25mail([
    ...["token", "create", "a", "--domains", "A.nl,bücher.example", "--scopes", "read,write"],
    ...["--expires", "2999-12-31", "--db", server.database],
  ]);
  expect(made).toMatchObject({ code: 0, stderr: "" });
  const token = made.stdout.trim();
  expect(await server.api("list-domains", undefined, token)).toMatchObject({
    body: { domains: [{ domain: "a.nl" }], total: 1 },
  });
  expect((await server.api("add-domain", { domain: "c.nl" }, token)).status).toBe(403);
  for (const path of ["/api/list-nodes", "/metrics"]) {
    expect(await status(server, path, `Bearer ${token}`), path).toBe(403);
  }
  const client = await connectHttp("2.x 2026-07-28", server.url, token);
  expect(await callTool(client, "list-users", { domain: "b.nl" })).toMatchObject({
    isError: true,
    content: [{ text: expect.stringMatching(/^domain_not_found: /) }],
  });
  const own = await callTool(client, "add-domain", { domain: "bücher.example" });
  expect(own.structuredContent).toMatchObject({ domain: "xn--bcher-kva.example", revision: null });
  const listed = await m25mail(["token", "list", "--json", "--db", server.database]);
  expect(JSON.parse(listed.stdout)).toMatchObject({
    tokens: [
      { name: "a", domains: ["a.nl", "xn--bcher-kva.example"], expires_at: "2999-12-31T23:59:59.999Z" },
      { name: "first", domains: null },
    ],
  });
});

test("tokens used in turn each keep their own access", async () => {
  const server = await startServer();
  for (const domain of ["a.nl", "b.nl"]) await server.api("add-domain", { domain });
  const limited = await createToken(server, { name: "a", domains: ["a.nl"], scopes: ["read"] });
  const changing = await createToken(server, { name: "w", scopes: ["write"] });
  for (let round = 0; round < 5; round += 1) {
    expect(await server.api("list-domains")).toMatchObject({ body: { total: 2 } });
    expect(await server.api("list-domains", undefined, limited)).toMatchObject({ body: { total: 1 } });
    expect((await server.api("list-domains", undefined, changing)).status).toBe(403);
  }
});

test("the audit log shows which token made a change, and by which door", async () => {
  const server = await startServer();
  const token = await createToken(server, { name: "claude" });
  await server.api("add-domain", { domain: "a.nl" }, token);
  await callTool(await connectHttp("2.x legacy", server.url, token), "add-domain", { domain: "b.nl" });
  const rows = rawDatabase(server.database)
    .prepare("SELECT principal, door, tool FROM audit_log WHERE principal = 'claude' ORDER BY id")
    .all();
  expect(rows).toEqual([
    { principal: "claude", door: "rest", tool: "add-domain" },
    { principal: "claude", door: "mcp", tool: "add-domain" },
  ]);
});

test("the 64 digits of a token's or key's secret are independent of each other", () => {
  for (const kind of ["token", "syncKey"] as const) {
    const secrets = Array.from({ length: 50 }, () => newCredential(kind).text.split("_")[2] ?? "");
    const places = Array.from({ length: 64 }, (_, place) => secrets.map((secret) => secret[place]).join(""));
    for (const digits of places) expect(digits).toMatch(/^(?=.*[0-9])(?=.*[a-f])[0-9a-f]{50}$/);
    expect(new Set(places).size).toBe(64);
  }
});

test("a token's last use is shown within seconds", async () => {
  const server = await startServer();
  await server.api("list-domains");
  const lastUsed = async () => {
    const { tokens } = await testRuntime(server.store).must("list-tokens");
    return (tokens as Array<{ last_used_at: string | null }>)[0]?.last_used_at;
  };
  await expect.poll(lastUsed).toMatch(/^\d{4}-/);
});

test("nothing stored in the database opens any door", async () => {
  const server = await startServer();
  await server.api("add-node", { name: "pi" });
  const database = rawDatabase(server.database);
  const texts = ["tokens", "nodes", "audit_log", "state"].flatMap((table) =>
    (database.prepare(`SELECT * FROM ${table}`).all() as Array<Record<string, unknown>>).flatMap((row) =>
      Object.values(row).map(String),
    ),
  );
  const ids = database
    .prepare<[], string>("SELECT token_id FROM tokens UNION SELECT key_id FROM nodes")
    .pluck()
    .all();
  const guesses = new Set(
    texts.flatMap((text) => [text, ...ids.flatMap((id) => [`m25tok_${id}_${text}`, `m25key_${id}_${text}`])]),
  );
  expect(guesses.size).toBeGreaterThan(50);
  for (const guess of guesses) {
    if (!/^[\x21-\x7e]+$/.test(guess)) continue;
    expect(await status(server, "/api/list-domains", `Bearer ${guess}`)).toBe(401);
    expect(await status(server, "/sync/v1/maps", `Bearer ${guess}`)).toBe(401);
  }
});
