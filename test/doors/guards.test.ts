import { expect, test } from "vitest";
import { tools } from "../../tools/index.ts";
import { http } from "../support/http.ts";
import { startServer, type TestServer } from "../support/server.ts";

/** Every route there is, and some that there are not. */
const routes: ReadonlyArray<[method: string, path: string]> = [
  ["GET", "/healthz"],
  ["GET", "/metrics"],
  ["POST", "/mcp"],
  ["GET", "/mcp"],
  ["DELETE", "/mcp"],
  ...tools.map((tool): [string, string] => [
    tool.effect === "read" ? "GET" : "POST",
    `/api/${tool.endpoint}`,
  ]),
  ["GET", "/api/openapi.json"],
  ["GET", "/metrics"],
  ["GET", "/sync/v1/maps"],
  ["POST", "/sync/v1/report"],
  ["GET", "/"],
  ["GET", "/api/unknown"],
  ["GET", "/%zz"],
  ["GET", "/.well-known/oauth-protected-resource"],
];

async function ask(server: TestServer, method: string, path: string, headers: Record<string, string>) {
  return http(`${server.url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
  });
}

test("a name that is not the server's is refused on every route, and the log says which setting allows it", async () => {
  const server = await startServer();
  const authorization = `Bearer ${server.token}`;
  for (const [method, path] of routes) {
    server.log.length = 0;
    const answer = await ask(server, method, path, { host: "evil.example", authorization });
    expect(answer.status, `${method} ${path}`).toBe(403);
    expect(answer.headers["content-type"]).toContain("application/problem+json");
    expect(server.log.join()).toMatch(/Host "evil\.example".*--public-url.*--allowed-hosts/);
  }
});

test("a web page of another origin is refused on every route, and the log says which setting allows it", async () => {
  const server = await startServer();
  const authorization = `Bearer ${server.token}`;
  for (const [method, path] of routes) {
    for (const origin of ["https://evil.example", "null"]) {
      server.log.length = 0;
      const answer = await ask(server, method, path, { origin, authorization });
      expect(answer.status, `${method} ${path} ${origin}`).toBe(403);
      expect(server.log.join()).toMatch(/Origin .*--allowed-hosts/);
    }
  }
});

test.each([
  "localhost.evil.example",
  "evil.example:80",
  "127.0.0.1.evil.example",
  "evil.example#@127.0.0.1",
  "user@localhost",
  "localhost/x",
  "127.0.0.2",
  "192.0.2.1",
])("the host %s is not taken for this machine", async (host) => {
  const server = await startServer();
  expect((await http(`${server.url}/healthz`, { headers: { host } })).status).toBe(403);
});

test.each(["localhost", "localhost:1", "LOCALHOST", "127.0.0.1:8625", "[::1]", "[::1]:8625"])(
  "the host %s is this machine",
  async (host) => {
    const server = await startServer();
    expect((await http(`${server.url}/healthz`, { headers: { host } })).status).toBe(200);
  },
);

test("the names that the operator gave are allowed, as hosts and as origins, and no others", async () => {
  const server = await startServer({
    "public-url": "https://mail.example.nl/m25",
    "allowed-hosts": "m25.internal, 192.0.2.7,2001:db8::7",
  });
  const health = async (headers: Record<string, string>) =>
    (await http(`${server.url}/healthz`, { headers })).status;
  for (const host of [
    "mail.example.nl",
    "Mail.Example.NL:443",
    "m25.internal",
    "192.0.2.7",
    "[2001:db8::7]:1",
  ]) {
    expect(await health({ host }), host).toBe(200);
    expect(await health({ origin: `https://${host}` }), host).toBe(200);
  }
  expect(await health({ host: "other.example.nl" })).toBe(403);
  expect(await health({ origin: "https://other.example.nl" })).toBe(403);
});

test("an odd origin is refused as any other", async () => {
  const server = await startServer();
  for (const origin of [
    "",
    "file://",
    "localhost",
    "https://",
    "https://localhost.evil.example",
    "data:text/html,x",
  ]) {
    expect((await http(`${server.url}/healthz`, { headers: { origin } })).status, origin).toBe(403);
  }
});

test("what is logged of a refused name is short and cannot forge another line", async () => {
  const server = await startServer();
  server.log.length = 0;
  await http(`${server.url}/healthz`, { headers: { host: `${"x".repeat(5000)}.example` } });
  expect(server.log).toHaveLength(2); // and the request's own line
  expect(server.log[0]?.length).toBeLessThan(400);
  expect(server.log[0]).not.toContain("\n");
});

test("without credentials every route but the health check is 401, and the well-known paths are plain 404s", async () => {
  const server = await startServer();
  for (const [method, path] of routes) {
    const { status, headers, body } = await ask(server, method, path, {});
    if (path === "/healthz") expect(status).toBe(200);
    else if (path.startsWith("/.well-known/")) expect(status).toBe(404);
    else {
      expect(status, `${method} ${path}`).toBe(401);
      expect(headers["www-authenticate"], path).toMatch(/^Bearer/);
      expect(JSON.parse(body)).toMatchObject({ code: "unauthorized", hint: expect.any(String) });
    }
  }
  for (const path of ["oauth-authorization-server", "openid-configuration", "oauth-protected-resource/mcp"]) {
    expect((await http(`${server.url}/.well-known/${path}`)).status, path).toBe(404);
  }
});

test("methods that a route does not have, HEAD too, are refused with and without a token", async () => {
  const server = await startServer();
  const authorization = `Bearer ${server.token}`;
  for (const [method, path] of [
    ["GET", "/api/add-domain"],
    ["POST", "/api/list-domains"],
    ["PUT", "/api/add-domain"],
    ["DELETE", "/api/add-domain"],
    ["HEAD", "/api/list-domains"],
    ["OPTIONS", "/api/list-domains"],
    ["HEAD", "/sync/v1/maps"],
    ["POST", "/sync/v1/maps"],
    ["PATCH", "/"],
  ] as const) {
    expect((await http(`${server.url}${path}`, { method })).status, `${method} ${path}`).toBe(401);
    const allowed = await http(`${server.url}${path}`, { method, headers: { authorization } });
    expect(allowed.status, `${method} ${path}`).toBe(404);
  }
  expect(await server.api("list-domains")).toMatchObject({ body: { total: 0 } });
});
