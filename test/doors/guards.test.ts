import { describe, expect, test } from "vitest";
import { http } from "../support/http.ts";
import { type Route, serverWithRoutes } from "../support/routes.ts";
import { startServer, type TestServer } from "../support/server.ts";

/** Paths that do not exist. */
const nowhere: readonly Route[] = [
  ["GET", "/"],
  ["GET", "/api/unknown"],
  ["GET", "/%zz"],
];

/** All routes without a credential, with OAuth. Strangers have no other way in. */
const open = [
  "GET /healthz",
  "HEAD /healthz",
  "GET /node/m25-mail-node.deb",
  "GET /node/m25-mail-node.deb.sha256",
  "GET /.well-known/oauth-protected-resource",
  "GET /.well-known/oauth-protected-resource/mcp",
  "GET /.well-known/oauth-protected-resource/mcp/",
  "GET /.well-known/oauth-authorization-server",
  "GET /.well-known/openid-configuration",
  "GET /authorize",
  "GET /authorize/x",
  "POST /token",
  "POST /revoke",
  "GET /jwks",
  "GET /interaction/x",
  "POST /interaction/x",
  "GET /password/x",
];

const settings = [
  ["as it is", {}],
  ["with OAuth", { oauth: "true", "public-url": "https://mail.example.nl" }],
] as const;

async function ask(server: TestServer, method: string, path: string, headers: Record<string, string>) {
  return http(`${server.url}${path}`, {
    method,
    headers: { "content-type": "application/json", ...headers },
  });
}

describe.each(settings)("a server %s", (_name, flags) => {
  test("refuses a foreign host name on every route, and its log names the setting that allows it", async () => {
    const server = await serverWithRoutes(flags);
    const authorization = `Bearer ${server.token}`;
    expect(server.routes.length).toBeGreaterThan(20);
    for (const [method, path] of [...server.routes, ...nowhere]) {
      const answer = await ask(server, method, path, { host: "evil.example", authorization });
      expect(answer.status, `${method} ${path}`).toBe(403);
      if (method !== "HEAD") expect(answer.headers["content-type"]).toContain("application/problem+json");
    }
    expect(server.log.join()).toMatch(/Host "evil\.example".*--public-url.*--allowed-hosts/);
  });

  test("refuses a foreign origin on every route, and its log names the setting that allows it", async () => {
    const server = await serverWithRoutes(flags);
    const authorization = `Bearer ${server.token}`;
    for (const [method, path] of [...server.routes, ...nowhere]) {
      for (const origin of ["https://evil.example", "null"]) {
        const answer = await ask(server, method, path, { origin, authorization });
        expect(answer.status, `${method} ${path} ${origin}`).toBe(403);
      }
    }
    expect(server.log.join()).toMatch(/Origin .*--allowed-hosts/);
  });

  test("needs a credential on all routes but a few, and accepts no other kind of credential", async () => {
    const server = await serverWithRoutes(flags);
    const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
    const closed = [...server.routes, ...nowhere].filter((route) => !open.includes(route.join(" ")));
    for (const [method, path] of closed) {
      const wrong = path.startsWith("/sync/") ? server.token : key;
      for (const authorization of [undefined, `Bearer ${wrong}`]) {
        const headers: Record<string, string> = authorization === undefined ? {} : { authorization };
        const answer = await ask(server, method, path, headers);
        expect(answer.status, `${method} ${path}`).toBe(401);
        expect(answer.headers["www-authenticate"], path).toMatch(/^Bearer/);
        if (method === "HEAD") continue;
        expect(JSON.parse(answer.body)).toMatchObject({ code: "unauthorized", hint: expect.any(String) });
      }
    }
    const opened = server.routes.map((route) => route.join(" ")).filter((route) => open.includes(route));
    expect(opened).toEqual("oauth" in flags ? open : [...open.slice(0, 4), "GET /password/x"]);
  });
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
])("the host %s does not count as this machine", async (host) => {
  const server = await startServer();
  expect((await http(`${server.url}/healthz`, { headers: { host } })).status).toBe(403);
});

test.each(["localhost", "localhost:1", "LOCALHOST", "127.0.0.1:8625", "[::1]", "[::1]:8625"])(
  "the host %s counts as this machine",
  async (host) => {
    const server = await startServer();
    expect((await http(`${server.url}/healthz`, { headers: { host } })).status).toBe(200);
  },
);

test("configured names are allowed as hosts and as origins, and no others", async () => {
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

test("an unusual origin is refused like any other", async () => {
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

test("a refused name is logged shortened, and cannot forge another line", async () => {
  const server = await startServer();
  server.log.length = 0;
  await http(`${server.url}/healthz`, { headers: { host: `${"x".repeat(5000)}.example` } });
  expect(server.log).toHaveLength(2); // and the request's own line
  expect(server.log[0]?.length).toBeLessThan(400);
  expect(server.log[0]).not.toContain("\n");
});

test("without OAuth the well-known paths are plain 404s", async () => {
  const server = await startServer();
  for (const path of [
    "oauth-protected-resource",
    "oauth-protected-resource/mcp",
    "oauth-authorization-server",
    "openid-configuration",
  ]) {
    expect((await http(`${server.url}/.well-known/${path}`)).status, path).toBe(404);
  }
});

test("a wrong method gets 405 with the right ones, if the caller may call the path", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  for (const [method, path, allow, credential = server.token] of [
    ["GET", "/api/add-domain", "POST"],
    ["HEAD", "/api/add-domain", "POST"],
    ["PUT", "/api/add-domain", "POST"],
    ["DELETE", "/api/add-domain?domain=example.nl", "POST"],
    ["PROPFIND", "/api/add-domain", "POST"],
    ["POST", "/api/list-domains", "GET, HEAD"],
    ["OPTIONS", "/api/list-domains", "GET, HEAD"],
    ["POST", "/api/openapi.json", "GET, HEAD"],
    ["POST", "/metrics", "GET, HEAD"],
    ["GET", "/mcp", "POST"],
    ["PROPFIND", "/mcp", "POST"],
    ["HEAD", "/sync/v1/maps", "GET", key],
    ["POST", "/sync/v1/maps", "GET", key],
    ["GET", "/sync/v1/report", "POST", key],
    ["GET", "/sync/v1/key", "POST", key],
  ] as const) {
    const url = `${server.url}${path}`;
    const stranger = await http(url, { method });
    expect(stranger.status, `${method} ${path}`).toBe(401);
    expect(stranger.headers.allow).toBeUndefined();
    const headers = { authorization: `Bearer ${credential}`, "content-type": "application/json" };
    const answer = await http(url, { method, headers, ...(method === "POST" && { body: "{no JSON" }) });
    expect(answer.status, `${method} ${path}`).toBe(405);
    expect(answer.headers.allow, `${method} ${path}`).toBe(allow);
    if (method === "HEAD") continue;
    expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
    expect(JSON.parse(answer.body)).toMatchObject({
      title: "Method Not Allowed",
      status: 405,
      code: "invalid_input",
      hint: expect.stringContaining(allow),
    });
  }
  expect((await http(`${server.url}/healthz`, { method: "POST" })).headers.allow).toBe("GET, HEAD");
  expect(await server.api("list-domains")).toMatchObject({ body: { total: 0 } });
});

test("an unknown path is a 404 for callers with a credential for the paths beside it", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  for (const [path, credential] of [
    ["/", server.token],
    ["/api/list-domains/", server.token],
    ["/mcp/x", server.token],
    ["/sync/v1/x", key],
    ["/sync/v2/maps", server.token],
  ] as const) {
    expect((await http(`${server.url}${path}`)).status, path).toBe(401);
    const answer = await http(`${server.url}${path}`, { headers: { authorization: `Bearer ${credential}` } });
    expect(answer.status, path).toBe(404);
    expect(answer.headers.allow).toBeUndefined();
  }
});

test("HEAD gives the headers of GET everywhere except on the nodes' poll", async () => {
  const server = await startServer();
  const headers = { authorization: `Bearer ${server.token}` };
  for (const path of ["/healthz", "/api/list-domains", "/api/openapi.json", "/metrics"]) {
    const [head, get] = [
      await http(`${server.url}${path}`, { method: "HEAD", headers }),
      await http(`${server.url}${path}`, { headers }),
    ];
    expect(head, path).toMatchObject({ status: 200, body: "" });
    expect(head.headers["content-type"], path).toBe(get.headers["content-type"]);
    expect(get.body.length, path).toBeGreaterThan(10);
  }
});
