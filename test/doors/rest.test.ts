import { expect, test } from "vitest";
import { http, rawHttp } from "../support/http.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";

const CANARY = "canary-Hunter22";

async function post(server: TestServer, endpoint: string, body: string, type = "application/json") {
  return http(`${server.url}/api/${endpoint}`, {
    method: "POST",
    headers: { authorization: `Bearer ${server.token}`, "content-type": type },
    body,
  });
}

test("a refusal is problem details with a code for programs and a hint for people", async () => {
  const server = await startServer();
  const answer = await post(server, "remove-domain", '{"domain":"example.nl"}');
  expect(answer.status).toBe(404);
  expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
  expect(JSON.parse(answer.body)).toEqual({
    type: "about:blank",
    title: "Not Found",
    status: 404,
    code: "domain_not_found",
    detail: "The domain example.nl is not registered.",
    hint: expect.stringContaining("GET /api/list-domains"),
  });
});

test("a refusal gives its next step as requests", async () => {
  const server = await startServer();
  const early = await server.api("add-user", { email: "jan@example.nl", password: "correct horse" });
  expect(early.body.hint).toContain("compare with GET /api/list-domains, ");
  await server.api("add-domain", { domain: "example.nl" });
  await server.api("add-user", { email: "jan@example.nl", password: "correct horse" });
  const { body } = await server.api("remove-domain", { domain: "example.nl" });
  expect(body.hint).toContain("List them with GET /api/list-users?domain=example.nl and ");
});

test("results are JSON that must not be cached", async () => {
  const server = await startServer();
  const answer = await post(server, "add-domain", '{"domain":"example.nl"}');
  expect(answer.status).toBe(200);
  expect(answer.headers).toMatchObject({
    "content-type": expect.stringMatching(/^application\/json/),
    "cache-control": "no-store",
  });
});

test.each([
  ["cut short", `{"email":"jan@example.nl","password":"${CANARY}`],
  ["with an extra comma", `{"password":"${CANARY}",}`],
  ["with two objects", `{"password":"${CANARY}"}{}`],
  ["with a prototype", `{"__proto__":{"password":"${CANARY}"}}`],
  ["that is not UTF-8 text of JSON", `\uFEFF\0${CANARY}`],
  ["that is a list", `["${CANARY}"]`],
  ["that is a text", `"${CANARY}"`],
  ["that is empty", ""],
  ["that is null", "null"],
])("a body %s is a plain 400 that repeats none of it", async (_what, body) => {
  const server = await startServer();
  const answer = await post(server, "add-user", body);
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.body)).toMatchObject({ code: "invalid_input", status: 400 });
  expect(answer.body).not.toContain("Hunter");
  expect(answer.body).not.toMatch(/JSON at position|SyntaxError|node_modules|Unexpected/);
  expect(server.log.join()).not.toContain("Hunter");
});

test.each([
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/xml",
  "x",
])("a body of type %s is a plain 400 and changes nothing", async (type) => {
  const server = await startServer();
  const answer = await post(server, "add-domain", '{"domain":"example.nl"}', type);
  expect(answer.status).toBe(400);
  expect(JSON.parse(answer.body)).toMatchObject({ code: "invalid_input" });
  expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
});

test("a body over the limit gets 413, and one just below it is read", async () => {
  const server = await startServer();
  const sized = (bytes: number) => JSON.stringify({ domain: "x".repeat(bytes - 13) });
  const large = await post(server, "add-domain", sized(64 * 1024 + 1));
  expect(large.status).toBe(413);
  expect(JSON.parse(large.body)).toMatchObject({ code: "too_large" });
  expect(large.headers.connection).not.toBe("close"); // else a caller that is still sending might not read the answer
  expect((await post(server, "add-domain", sized(64 * 1024))).status).toBe(400);
});

test("a caller that announces a body far over the limit is disconnected", async () => {
  const server = await startServer();
  const headers = `Host: localhost\r\nAuthorization: Bearer ${server.token}\r\nContent-Type: application/json`;
  const answer = await rawHttp(
    server.url,
    `POST /api/add-domain HTTP/1.1\r\n${headers}\r\nContent-Length: 2000000\r\n\r\n{`,
  );
  expect(answer).toMatch(/^HTTP\/1.1 413 [\s\S]*\r\nconnection: close\r\n/);
});

test.each([
  ["limit=1&limit=2", "limit"],
  ["limit=", "limit"],
  ["limit=1.5", "limit"],
  ["limit=1e2", "limit"],
  ["limit=%31%30%30%30%31", "limit"],
  ["cursor=x&cursor=y", "cursor"],
  ["password=secret", "does not have"],
  ["__proto__=1", "does not have"],
  ["constructor=1", "does not have"],
])("the query %s is refused", async (query, named) => {
  const server = await startServer();
  const { status, body } = await server.api(`list-domains?${query}`);
  expect(status).toBe(400);
  expect(body).toMatchObject({ code: "invalid_input", detail: expect.stringContaining(named) });
});

test("a field of the wrong type is refused in plain words with the right type", async () => {
  const server = await startServer();
  const wrong = [
    ["list-domains?limit=many", undefined, "limit: this must be a whole number."],
    ["list-domains?limit=1.5", undefined, "limit: this must be a whole number."],
    [
      "add-user",
      { email: "jan@example.nl", password: "correct horse", quota_mb: "5 MiB" },
      "quota_mb: this must be a whole number of MiB, such as 2048 for 2 GiB.",
    ],
    [
      "add-user",
      { email: "jan@example.nl", password: "correct horse", quota_mb: 1.5 },
      "quota_mb: this must be a whole number of MiB, such as 2048 for 2 GiB.",
    ],
    ["add-domain", { domain: 5 }, "domain: this must be a text."],
    [
      "remove-user",
      { email: "jan@example.nl", hard_delete: "yes" },
      "hard_delete: this must be true or false.",
    ],
  ] as const;
  for (const [endpoint, input, said] of wrong) {
    expect((await server.api(endpoint, input)).body.detail, endpoint).toBe(said);
  }
});

test("numbers in a query are parsed as numbers", async () => {
  const server = await startServer();
  for (const domain of ["a.nl", "b.nl"]) await server.api("add-domain", { domain });
  const { body } = await server.api("list-domains?limit=1");
  expect(body.domains).toHaveLength(1);
  expect((await server.api(`list-domains?limit=1&cursor=${body.next_cursor}`)).body).toMatchObject({
    domains: [{ domain: "b.nl" }],
    next_cursor: null,
  });
});

test("an unknown path says where to look", async () => {
  const server = await startServer();
  const { status, body } = await server.api("unknown-endpoint", {});
  expect(status).toBe(404);
  expect(body).toMatchObject({ code: "invalid_input", hint: expect.stringContaining("/api/openapi.json") });
});

test("after a bug the caller gets a reference, and the log has the reference and the reason", async () => {
  const server = await startServer();
  rawDatabase(server.database).exec("DROP TABLE audit_log");
  const { status, body } = await server.api("add-domain", { domain: "example.nl" });
  expect(status).toBe(500);
  expect(body.code).toBe("internal");
  expect(JSON.stringify(body)).not.toMatch(/audit|sql|no such table/i);
  const [, reference = ""] = /reference ([0-9a-f-]{36})/.exec(String(body.detail)) ?? [];
  expect(server.log.join("\n")).toContain(reference);
  expect((await server.api("list-domains")).body).toMatchObject({ total: 0 });
});
