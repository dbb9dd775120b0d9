import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { printable } from "../../src/log/printable.ts";
import { redacted } from "../../src/log/redact.ts";
import { newCredential } from "../../tools/call/credential.ts";
import { callTool, clientKinds, connectHttp, connectStdio } from "../support/clients.ts";
import { http, rawHttp } from "../support/http.ts";
import { postMcp, rpc } from "../support/mcp.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { fakeHash, temporaryFolder } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

type Line = Record<string, unknown>;

/** A server that logs JSON, as a process of its own. `lines` stops it and returns its log. */
async function jsonServer(...flags: string[]) {
  const database = join(temporaryFolder(), "m25-mail.db");
  const server = await serveProcess(database, ["--log-format", "json", ...flags]);
  const token = readFileSync(join(database, "..", "first-token"), "utf8").trim();
  return {
    url: server.url,
    token,
    database,
    api: (endpoint: string, body: unknown, method = "POST") =>
      http(`${server.url}/api/${endpoint}`, {
        method,
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        ...(method === "POST" && { body: JSON.stringify(body) }),
      }),
    async lines(): Promise<Line[]> {
      server.child.kill("SIGTERM");
      const { stdout, stderr } = await server.finished;
      expect(stdout).toBe("");
      return stderr
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line));
    },
  };
}

test("each request has one line of JSON with its call, but not a poll that brings nothing or only changes", async () => {
  const { url, token, api, lines } = await jsonServer();
  await api("add-domain", { domain: "example.nl" });
  await api("add-domain", { domain: "example.nl" });
  await http(`${url}/healthz`);
  await http(`${url}/nowhere/at/all`, { headers: { authorization: "Bearer nobody" } });
  const client = await connectHttp("2.x 2026-07-28", url, token);
  await callTool(client, "remove-domain", { domain: "none.nl" });
  const node = new SyncingNode(url, JSON.parse((await api("add-node", { name: "pi" })).body).sync_key);
  await node.poll();
  expect((await node.poll()).status).toBe(304);
  await api("add-domain", { domain: "bakery.nl" });
  expect((await node.poll()).status).toBe(200);
  const logged = await lines();
  for (const line of logged)
    expect(line).toMatchObject({ level: "info", time: expect.any(String), msg: expect.any(String) });
  const requests = logged.filter(({ msg }) => msg === "request");
  expect(requests.map(({ route, method, status, principal }) => [method, route, status, principal])).toEqual([
    ["POST", "/api/add-domain", 200, "first"],
    ["POST", "/api/add-domain", 409, "first"],
    ["GET", "none", 401, undefined],
    ...requests.filter(({ route }) => route === "/mcp").map(() => ["POST", "/mcp", 200, "first"]),
    ["POST", "/api/add-node", 200, "first"],
    ["GET", "/sync/v1/maps", 200, "node pi"],
    ["POST", "/api/add-domain", 200, "first"],
  ]);
  expect(requests.every(({ ms, address }) => typeof ms === "number" && address === "127.0.0.1")).toBe(true);
  expect(logged.filter(({ tool }) => tool !== undefined)).toMatchObject([
    { route: "/api/add-domain", tool: "add-domain", outcome: "done" },
    { route: "/api/add-domain", tool: "add-domain", outcome: "domain_exists" },
    { route: "/mcp", tool: "remove-domain", outcome: "domain_not_found", client: "test" },
    { route: "/api/add-node", tool: "add-node", outcome: "done" },
    { route: "/api/add-domain", tool: "add-domain", outcome: "done" },
  ]);
  expect(new Set(requests.map(({ request }) => request)).size).toBe(requests.length);
  expect(logged.at(-1)?.msg).toMatch(/^m25-mail stops/);
});

test("a request with an unreadable body is logged as such", async () => {
  const { url, token, log } = await startServer();
  for (const [body, type, status, refused] of [
    ["{", "application/json", 400, "The request could not be read."],
    ["domain=Hunter22", "application/x-www-form-urlencoded", 400, "The request could not be read."],
    [`"${"x".repeat(70_000)}"`, "application/json", 413, "The request is too large."],
  ] as const) {
    log.length = 0;
    const headers = { authorization: `Bearer ${token}`, "content-type": type };
    expect((await http(`${url}/api/add-domain`, { method: "POST", headers, body })).status).toBe(status);
    await expect.poll(() => log).toHaveLength(1);
    expect(JSON.parse((log[0] ?? "").replace("request ", ""))).toMatchObject({
      route: "/api/add-domain",
      status,
      refused,
    });
  }
});

test("a call whose caller hangs up early has a line of its own, with the request's id", async () => {
  const { url, token, api, lines } = await jsonServer("--hash-cost", "14"); // a second, or many on a busy machine
  await api("add-domain", { domain: "example.nl" });
  const body = JSON.stringify({ email: "jan@example.nl", password: "a password that is long enough" });
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const headers = `Host: ${hostname}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json`;
  socket.write(`POST /api/add-user HTTP/1.1\r\n${headers}\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  // The server hashes its password once it has answered another call.
  await api("list-domains", undefined, "GET");
  socket.destroy();
  await expect.poll(async () => (await api("list-users", undefined, "GET")).body).toContain("jan@example.nl");
  const logged = await lines();
  const cutOff = logged.find(({ route }) => route === "/api/add-user");
  expect(cutOff).toMatchObject({ msg: "request", status: "aborted" });
  expect(cutOff).not.toHaveProperty("tool");
  expect(logged.filter(({ msg }) => msg === "call")).toMatchObject([
    { request: cutOff?.request, tool: "add-user", outcome: "done", principal: "first" },
  ]);
});

test("every call of a message with many calls is logged", async () => {
  const server = await startServer();
  const calls = ["m25_mail_list_domains", "m25_mail_list_users", "m25_mail_list_nodes"].map((name, id) => ({
    ...rpc("tools/call", { name, arguments: {} }),
    id,
  }));
  await postMcp(server, calls);
  await server.close();
  const logged = server.log.map((line) => /"tool":"([\w-]+)"/.exec(line)?.[1]);
  expect(logged.filter((tool) => tool !== undefined).sort()).toEqual([
    "list-domains",
    "list-nodes",
    "list-users",
  ]);
});

test("the reference that a caller gets for a bug is the request's id, at every door", async () => {
  const { url, token, database, api, lines } = await jsonServer();
  rawDatabase(database).exec(
    "CREATE TRIGGER broken BEFORE INSERT ON domains BEGIN SELECT RAISE(ABORT, 'secret internals'); END",
  );
  const shown = [JSON.stringify((await api("add-domain", { domain: "example.nl" })).body)];
  for (const kind of clientKinds) {
    const client = await connectHttp(kind, url, token);
    shown.push(JSON.stringify(await callTool(client, "add-domain", { domain: "example.nl" })));
  }
  const logged = await lines();
  expect(JSON.stringify([shown, logged])).not.toContain("secret internals");
  for (const text of shown) {
    const [, reference] = /reference ([\w-]+)\)/.exec(text) ?? [];
    const about = logged.filter(({ request }) => request === reference);
    expect(about.map(({ msg }) => msg)).toContain("request");
    expect(about.find(({ msg }) => msg === "bug")).toMatchObject({
      level: "error",
      cause: expect.stringContaining("SQLITE_CONSTRAINT_TRIGGER"),
      stack: expect.stringContaining("at "),
    });
  }
});

test("a caller cannot forge a line of the log, in either format", async () => {
  for (const format of ["text", "json"]) {
    const database = join(temporaryFolder(), "m25-mail.db");
    const server = await serveProcess(database, ["--log-format", format]);
    for (const host of ["x\u0085\u009b31m 2026-01-01 error forged", "evil.example"]) {
      await rawHttp(server.url, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    }
    server.child.kill("SIGTERM");
    const { stderr } = await server.finished;
    expect(stderr).not.toMatch(/[^\P{Cc}\n]/u);
    expect(stderr).not.toContain("forged");
    expect(stderr).toMatch(/Host that is not a name: .*--allowed-hosts/);
    expect(stderr).toMatch(/Host \\?"evil\.example\\?": .*--allowed-hosts/);
  }
});

test("strangers cannot flood the log, but the metrics count all their requests", async () => {
  const { url, token, api, lines } = await jsonServer("--log-level", "debug");
  const began = Date.now();
  for (let n = 0; n < 100; n += 1) {
    await http(`${url}/nowhere`);
    await http(`${url}/healthz`, { headers: { host: `evil-${n}.example` } });
    await http(`${url}/healthz`, { headers: { origin: `https://evil-${n}.example` } });
  }
  expect((await api("add-domain", { domain: "example.nl" })).status).toBe(200);
  const seconds = (Date.now() - began) / 1000;
  const metrics = await http(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
  expect(metrics.body).toContain('http_requests_total{route="none",status="401"} 100');
  expect(metrics.body).toContain('http_requests_total{route="/healthz",status="403"} 200');
  const logged = await lines();
  const strangers = logged.filter(({ msg, principal }) => msg === "request" && principal === undefined);
  expect(strangers).toHaveLength(300);
  // Sixty at once, then one each second.
  const noted = strangers.filter(({ level }) => level === "info");
  expect(noted.length).toBeLessThanOrEqual(61 + seconds);
  const warnings = logged.filter(({ level }) => level === "warn").map(({ msg }) => String(msg));
  expect(warnings.filter((msg) => msg.includes("Host"))).toHaveLength(1);
  const misnamed = logged.filter(({ refused }) => refused === "its Host is not this server's");
  expect(misnamed).toHaveLength(100);
  const warning = logged.find(({ level, msg }) => level === "warn" && String(msg).includes("Host"));
  expect(misnamed[0]).toMatchObject({ msg: "request", request: warning?.request, status: 403 });
  expect(warnings.filter((msg) => msg.includes("Origin"))).toHaveLength(1);
  expect(warnings.filter((msg) => msg.includes("without a credential"))).toHaveLength(1);
  expect(logged).toContainEqual(expect.objectContaining({ level: "info", principal: "first" }));
});

test("a path that cannot be decoded is logged and counted like any other", async () => {
  const server = await startServer();
  server.log.length = 0;
  expect((await http(`${server.url}/%zz`)).status).toBe(401);
  await expect.poll(() => server.log).toHaveLength(1);
  expect(JSON.parse((server.log[0] ?? "").replace("request ", ""))).toMatchObject({
    route: "none",
    status: 401,
    ms: expect.toSatisfy((ms: number) => ms < 10_000),
    address: "127.0.0.1",
  });
  const headers = { authorization: `Bearer ${server.token}` };
  const { body } = await http(`${server.url}/metrics`, { headers });
  expect(body).toContain('http_requests_total{route="none",status="401"} 1');
});

test("logged values cannot end a line or control a terminal, in either format", async () => {
  const code = `
    import { stderrLog } from ${JSON.stringify(join(import.meta.dirname, "../../src/log/log.ts"))};
    import { jsonLog } from ${JSON.stringify(join(import.meta.dirname, "../../src/log/json-log.ts"))};
    for (const log of [stderrLog(), await jsonLog("info")]) {
      log.info("a\\nb\\u001b[31m", { client: "c\\u2028d\\u202e e", request: undefined });
      log.warn("m25tok_0123456789abcdef_secret", { client: "m25key_0123456789abcdef_secret" });
      log.error("broken", Object.assign(new Error("m25tok_0123456789abcdef_secret"), { code: "E\\nF" }));
    }`;
  const { stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8" });
  const [text, , error, ...rest] = stderr.split("\n");
  expect(text).toMatch(/^\S+ info a\\u000ab\\u001b\[31m client="c\\u2028d\\u202e e"$/);
  expect(error).toMatch(/^\S+ error broken cause="Error E\\nF"$/);
  expect(rest[0]).toMatch(/^ {4}at /);
  const [line, , last] = rest.filter((each) => each.startsWith("{")).map((each) => JSON.parse(each));
  expect(line).toMatchObject({ msg: "a\nb\u001b[31m", client: "c\u2028d\u202e e" });
  expect(last).toMatchObject({ level: "error", cause: "Error E\nF", stack: expect.stringContaining("at ") });
  expect(stderr).not.toMatch(/[^\P{Cc}\n]|[\u2028\u202e]|m25tok|m25key/u);
});

test("--log-level sets the least level that is logged, and other words are refused", async () => {
  const quiet = await jsonServer("--log-level", "debug");
  await http(`${quiet.url}/healthz`);
  expect(await quiet.lines()).toContainEqual(expect.objectContaining({ level: "debug", route: "/healthz" }));
  const database = join(temporaryFolder(), "m25-mail.db");
  for (const flag of ["--log-level", "--log-format"]) {
    const answer = await m25mail(["serve", "--db", database, flag, "loud"]);
    expect(answer).toMatchObject({ code: 2, stdout: "" });
    expect(answer.stderr).toContain(`${flag} is n`);
  }
});

test("stdio does not log calls, because nobody may be reading", async () => {
  const stderr: string[] = [];
  const client = await connectStdio("1.x", join(temporaryFolder(), "m25-mail.db"), stderr);
  for (let n = 0; n < 1000; n += 1) await callTool(client, "list-domains");
  expect(stderr.join("")).toMatch(/^\S+ info made a new database \S+\n$/);
});

test("a request that its caller aborts is logged differently from an answered one", async () => {
  const { url, token, log, api } = await startServer();
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  const head = ["POST /api/add-domain HTTP/1.1", "Host: localhost", `Authorization: Bearer ${token}`];
  const body = ["Content-Type: application/json", "Content-Length: 100", "", "{"];
  await new Promise((resolve) => socket.write([...head, ...body].join("\r\n"), resolve));
  await api("list-domains");
  socket.destroy();
  const aborted = () => log.filter((line) => line.includes('"status":"aborted"'));
  await expect.poll(aborted).toHaveLength(1);
  expect(aborted()[0]).toContain('"route":"/api/add-domain"');
});

test("secrets are removed from the log, wherever they stand", () => {
  const token = newCredential("token").text;
  const key = newCredential("syncKey").text;
  const opaque = "Vt3kPq9xLm2RzB7nYc4WdH8sJf6GaE1uTo5iQp0_K-X";
  for (const secret of [
    token,
    key,
    fakeHash("a password"),
    opaque,
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ.Vt3kPq9xLm2RzB7nYc4WdH8sJf6GaE1uTo5iQp0K",
  ]) {
    for (const line of [
      `before ${secret} after`,
      JSON.stringify({ a: secret }),
      `x=${secret}&y`,
      `/${secret}/`,
    ]) {
      const middle = secret.slice(12, -8);
      expect(redacted(line)).not.toContain(middle);
    }
  }
  expect(redacted("Authorization: Bearer abc123def456")).toBe("Authorization: Bearer [secret]");
  expect(redacted(`{SSHA512}${"a+/=".repeat(9)} kwxq-abcd-efgh-ijkl-mnop-qrst-uvwx`)).toBe(
    "[secret] [secret]",
  );
  expect(redacted("authorization: basic dXNlcjpwYXNz0")).toBe("authorization: basic [secret]");
  expect(redacted("?access_token=abc&x=1")).toBe("?access_token=[secret]&x=1");
  const plain =
    "2026-11-22T11:47:20Z info call request=b5542f71-4 tool=m25_mail_add_user principal=node pi-amsterdam";
  expect(redacted(plain)).toBe(plain);
});

test("a line stays one line without control characters, and JSON stays the same JSON", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(printable(text)).not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u);
      expect(JSON.parse(printable(JSON.stringify(text)))).toBe(text);
    }),
  );
});
