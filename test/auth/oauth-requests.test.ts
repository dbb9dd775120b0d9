import fc from "fast-check";
import { expect, test } from "vitest";
import { documentAddress } from "../../src/auth/oauth/unknown-document.ts";
import { http } from "../support/http.ts";
import {
  begin,
  CHATGPT,
  CLAUDE,
  CLAUDE_CODE,
  claudeFlow,
  documents,
  field,
  signIn,
  startOAuthServer,
} from "../support/oauth.ts";
import { m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";

const PATHS = [
  "/.well-known/oauth-protected-resource",
  "/.well-known/oauth-protected-resource/mcp",
  "/.well-known/oauth-authorization-server",
  "/.well-known/openid-configuration",
];

test("a 401 tells a client where and how to sign in", async () => {
  const server = await startOAuthServer();
  const refused = await http(`${server.url}/mcp`, { method: "POST" });
  expect(refused.status).toBe(401);
  const challenge = String(refused.headers["www-authenticate"]);
  expect(challenge).toContain('scope="read write"');
  expect(challenge).not.toContain("error=");
  const [, metadata = ""] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  expect(metadata).toBe(`${server.url}/.well-known/oauth-protected-resource/mcp`);
  const resource = JSON.parse((await http(metadata)).body);
  expect(resource).toMatchObject({
    resource: `${server.url}/mcp`,
    authorization_servers: [server.url],
    scopes_supported: ["read", "write", "destroy", "nodes"],
    bearer_methods_supported: ["header"],
  });
  expect(JSON.parse((await http(server.url + PATHS[0])).body)).toEqual(resource);
  const authorization = JSON.parse((await http(server.url + PATHS[2])).body);
  expect(authorization).toMatchObject({
    issuer: server.url,
    authorization_endpoint: `${server.url}/authorize`,
    token_endpoint: `${server.url}/token`,
    revocation_endpoint: `${server.url}/revoke`,
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: true,
    response_types_supported: ["code"],
    response_modes_supported: ["query"],
    grant_types_supported: ["authorization_code", "refresh_token"],
    token_endpoint_auth_methods_supported: ["none", "private_key_jwt"],
    scopes_supported: ["read", "write", "destroy", "nodes"],
  });
  expect(authorization.registration_endpoint).toBeUndefined();
  expect(JSON.parse((await http(server.url + PATHS[3])).body)).toEqual(authorization);
});

test("a wrong token is reported as wrong, with the same directions", async () => {
  const server = await startOAuthServer();
  const { headers } = await http(`${server.url}/mcp`, {
    method: "POST",
    headers: { authorization: `Bearer ${"x".repeat(43)}` },
  });
  expect(headers["www-authenticate"]).toMatch(/error="invalid_token".*resource_metadata=/);
});

test("the other doors send nobody to OAuth", async () => {
  const server = await startOAuthServer();
  for (const path of ["/api/list-domains", "/sync/v1/maps"]) {
    const { status, headers } = await http(server.url + path);
    expect([status, headers["www-authenticate"]]).toEqual([401, 'Bearer realm="m25-mail"']);
  }
});

test("with OAuth off its paths do not exist", async () => {
  const { url, token } = await startServer();
  for (const path of PATHS) expect((await http(url + path)).status, path).toBe(404);
  const headers = { authorization: `Bearer ${token}` };
  for (const path of ["/authorize", "/authorize/x", "/token", "/revoke", "/jwks", "/interaction/x"]) {
    expect((await http(url + path)).status, path).toBe(401);
    expect((await http(url + path, { headers })).status, path).toBe(404);
    expect((await http(url + path, { method: "POST", headers })).status, path).toBe(404);
  }
});

test("the metadata has the public addresses, whatever a proxy or a caller says", async () => {
  const server = await startServer({ oauth: "true", "public-url": "https://mail.example.nl" });
  const callers: Array<Record<string, string>> = [
    {},
    { "x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "x-forwarded-for": "1.2.3.4" },
    { host: "localhost" },
  ];
  for (const headers of callers) {
    const { body } = await http(`${server.url}/.well-known/oauth-authorization-server`, { headers });
    expect(body).not.toMatch(/evil|localhost|127\.0\.0\.1|http:/);
    expect(JSON.parse(body).token_endpoint).toBe("https://mail.example.nl/token");
  }
});

test.each([
  ["without a name for the server", ["--oauth"]],
  ["under a name without HTTPS", ["--oauth", "--public-url", "http://mail.example.nl"]],
  ["below a path", ["--oauth", "--public-url", "https://mail.example.nl/m25"]],
  ["with clients that have no HTTPS address", ["--oauth-clients", "http://client.example/doc"]],
])("serve refuses OAuth %s", async (_what, flags) => {
  const { code, stderr } = await m25mail(["serve", "--db", "/nowhere/m25-mail.db", ...flags]);
  expect(code).toBe(2);
  expect(stderr).toMatch(/--oauth.*(public-url|https URL)/);
});

test.each([
  ["an address that is not the client's", "https://claude.ai.evil.example/api/mcp/auth_callback"],
  ["the client's address with more behind it", "https://claude.ai/api/mcp/auth_callback/../evil"],
  ["the client's address with a query", "https://claude.ai/api/mcp/auth_callback?next=evil"],
  ["the client's address on a port", "https://claude.ai:444/api/mcp/auth_callback"],
  ["no address", undefined],
])("nobody is sent to %s", async (_what, redirectUri) => {
  const server = await startOAuthServer();
  const { page } = await begin(server, { ...claudeFlow, request: { redirect_uri: redirectUri } });
  expect(page.status).toBe(400);
  expect(page.headers.location).toBeUndefined();
  expect(page.headers["content-security-policy"]).toContain("frame-ancestors 'none'");
});

test("a client with a single redirect address must name it too", async () => {
  const server = await startOAuthServer();
  await server.must("add-oauth-client", { name: "mine", redirect_uris: ["myapp://back"] });
  const flow = { clientId: "mine", redirectUri: "myapp://back" };
  expect((await begin(server, flow)).page.status).toBe(200);
  const { page } = await begin(server, { ...flow, request: { redirect_uri: undefined } });
  expect(page.status).toBe(400);
  expect(page.headers.location).toBeUndefined();
});

test.each([
  ["no PKCE", { code_challenge: undefined, code_challenge_method: undefined }],
  ["plain PKCE", { code_challenge_method: "plain" }],
  ["PKCE without a method", { code_challenge_method: undefined }],
  ["a token instead of a code", { response_type: "token" }],
  ["another resource", { resource: "https://other.example/mcp" }],
  ["the code in a form", { response_mode: "form_post" }],
  ["the code in a fragment", { response_mode: "fragment" }],
  ["no question to the operator", { prompt: "none" }],
])("a client that asks for %s is told that it is refused", async (_what, request) => {
  const server = await startOAuthServer();
  const { page } = await begin(server, { ...claudeFlow, request });
  if (page.status === 400) return expect(page.body).not.toContain("password"); // as a page, because no redirect address can be trusted
  const back = new URL(String(page.headers.location));
  expect(back.origin).toBe("https://claude.ai");
  expect(`${back.search}${back.hash}`).toMatch(/error=/);
  expect(`${back.search}${back.hash}`).not.toMatch(/code=/);
});

test("an unlisted client is refused, and its address is never fetched", async () => {
  const server = await startOAuthServer();
  for (const clientId of [
    "https://evil.example/oauth/client.json",
    "https://claude.ai/oauth/another-document",
    `${CLAUDE}?x`,
    "https://127.0.0.1:22/",
    "https://169.254.169.254/latest/meta-data",
    "http://claude.ai/oauth/mcp-oauth-client-metadata",
    "unheard-of",
  ]) {
    const { page } = await begin(server, { ...claudeFlow, clientId });
    expect(page.status, clientId).toBe(400);
    expect(page.body).toContain("does not know that program");
    expect(page.headers.location).toBeUndefined();
  }
  expect(server.standIn.asked).toEqual([]);
});

test("the page and the log name the flag that admits a client with an unlisted document", async () => {
  const server = await startOAuthServer();
  const clientId = "https://client.example/oauth/client.json";
  const { page } = await begin(server, { ...claudeFlow, clientId });
  expect(page.status).toBe(400);
  expect(page.body).toContain("<strong>client.example</strong>");
  expect(page.body).toContain(`<code>--oauth-clients ${clientId}</code>`);
  expect(page.body).toContain("Do nothing if you did not just ask for this yourself");
  expect(page.body).not.toContain("href");
  expect(server.log.join("\n")).toContain(`{"client":"${clientId}","admit":"--oauth-clients ${clientId}"}`);
  const admitted = await startOAuthServer({ "oauth-clients": clientId });
  admitted.standIn.serves[clientId] = {
    client_id: clientId,
    client_name: "Admitted",
    redirect_uris: [claudeFlow.redirectUri],
  };
  expect((await begin(admitted, { ...claudeFlow, clientId })).page.body).toContain("Admitted");
});

test.each([
  ["a command for the shell", "https://client.example/$(reboot)"],
  ["a second command", "https://client.example/a;reboot"],
  ["a further flag", "https://client.example/a --trusted-proxies 0.0.0.0/0"],
  ["a further client", "https://client.example/a,https://evil.example/b"],
  ["markup", "https://client.example/<script>alert(1)</script>"],
  ["a line end", "https://client.example/a\nOAuth: allowed a client"],
  ["a name before the real one", "https://claude.ai@evil.example/client.json"],
  ["letters that look like others", "https://cl\u0430ude.ai/client.json"],
  ["text that runs backwards", "https://client.example/\u202egpj.tneilc"],
  ["more than anybody would read", `https://client.example/${"a/".repeat(200)}`],
])("an address with %s appears neither on the page nor in the log", async (_what, clientId) => {
  const server = await startOAuthServer();
  const { page } = await begin(server, { ...claudeFlow, clientId });
  expect(page.status).toBe(400);
  expect(page.body).toContain("This server does not know that program");
  for (const text of [page.body, server.log.join("\n")]) {
    expect(text).not.toMatch(
      /reboot|trusted-proxies|evil\.example|alert|allowed a client|ude\.ai|tneilc|a\/a\//,
    );
  }
});

test("an address that the page repeats is safe to paste into a shell", async () => {
  await fc.assert(
    fc.property(
      fc.oneof(fc.webUrl({ validSchemes: ["https"], withFragments: true }), fc.string()),
      (text) => {
        const shown = documentAddress(text);
        expect(shown === undefined || (shown === text && /^https:\/\/[\w./~-]+$/.test(shown))).toBe(true);
      },
    ),
  );
});

test("--oauth-clients admits one more client, by its exact address", async () => {
  const mine = "https://client.example/oauth/client.json";
  const server = await startOAuthServer({ "oauth-clients": mine });
  const redirectUri = "https://client.example/back";
  server.standIn.serves[mine] = { client_id: mine, client_name: "My own", redirect_uris: [redirectUri] };
  const { page } = await begin(server, { clientId: mine, redirectUri });
  expect(page.body).toContain("My own");
  expect(server.standIn.asked).toEqual([mine]);
});

const claudes = documents[CLAUDE];

test.each([
  ["leads elsewhere", 302],
  ["does not exist", 404],
  ["is not JSON", "<html>"],
  ["is huge", JSON.stringify({ ...claudes, padding: "x".repeat(20_000) })],
  ["is another client's", { ...claudes, client_id: CLAUDE_CODE }],
  ["has no redirect address", { ...claudes, redirect_uris: [] }],
  ["has a redirect address without HTTPS", { ...claudes, redirect_uris: ["http://claude.ai/back"] }],
  ["has a script as its redirect address", { ...claudes, redirect_uris: ["javascript:alert(1)"] }],
  ["wants a shared secret", { ...claudes, token_endpoint_auth_method: "client_secret_post" }],
  ["names no client", { ...claudes, client_name: "" }],
  ["would write to a terminal", { ...claudes, client_name: "Cl\u001b[2Jaude" }],
  ["reverses the text around its name", { ...claudes, client_name: "Claude\u202e" }],
  ["has a name in two lines", { ...claudes, client_name: "Claude\u2028of yours" }],
])("a client whose document %s is refused", async (_what, document) => {
  const server = await startOAuthServer();
  server.standIn.serves[CLAUDE] = document;
  server.standIn.serves["https://claude.ai/moved"] = claudes; // the target of the first row
  const { page } = await begin(server, claudeFlow);
  expect(page.status).toBe(400);
  expect(page.headers.location).toBeUndefined();
  expect(new Set(server.standIn.asked)).toEqual(new Set([CLAUDE]));
});

test("unsafe redirect addresses in a document are ignored", async () => {
  const server = await startOAuthServer();
  const mixed = ["http://claude.ai/back", "javascript:alert(1)", claudeFlow.redirectUri];
  server.standIn.serves[CLAUDE] = { ...claudes, redirect_uris: mixed };
  expect((await begin(server, claudeFlow)).page.status).toBe(200);
  for (const redirectUri of mixed.slice(0, 2)) {
    const { page } = await begin(server, { ...claudeFlow, redirectUri });
    expect([page.status, page.headers.location]).toEqual([400, undefined]);
  }
});

test("a listed name that resolves to a private network is not fetched", async () => {
  const server = await startOAuthServer();
  server.standIn.isGuarded = true;
  const { page } = await begin(server, claudeFlow);
  expect(page.status).toBe(400);
  expect(page.body).toContain("could not be fetched");
  expect(server.log.join("\n")).toMatch(/document could not be fetched.*claude\.ai/);
  server.standIn.isGuarded = false;
  expect((await begin(server, claudeFlow)).page.status).toBe(200);
});

test("a document cannot name keys on another site", async () => {
  const server = await startOAuthServer();
  const redirectUri = "https://chatgpt.com/connector_platform_oauth_redirect";
  expect((await begin(server, { clientId: CHATGPT, redirectUri })).page.status).toBe(200);
  const another = await startOAuthServer();
  another.standIn.serves[CHATGPT] = { ...documents[CHATGPT], jwks_uri: "https://evil.example/jwks.json" };
  const { page } = await begin(another, { clientId: CHATGPT, redirectUri });
  expect(page.status).toBe(400);
  expect(new Set(another.standIn.asked)).toEqual(new Set([CHATGPT]));
});

test("a client that also asks for unknown scopes is not refused", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, { ...claudeFlow, scope: "openid profile read offline_access" });
  const consent = await signIn(begun);
  expect(field(consent.body, "scope")).toBe("read");
  expect(consent.body).not.toContain('value="write"');
});

test("foreign origins and foreign host names are refused at every path of OAuth", async () => {
  const server = await startOAuthServer();
  const callers: Array<Record<string, string>> = [
    { host: "evil.example" },
    { origin: "https://evil.example" },
    { origin: "null" },
  ];
  for (const path of [...PATHS, "/authorize", "/jwks", "/interaction/x"]) {
    for (const headers of callers) {
      expect((await http(server.url + path, { headers })).status, path).toBe(403);
    }
  }
  for (const path of ["/token", "/revoke", "/interaction/x"]) {
    const headers = { origin: "https://evil.example", "content-type": "application/x-www-form-urlencoded" };
    expect((await http(server.url + path, { method: "POST", headers, body: "a=b" })).status, path).toBe(403);
  }
});

test("the token endpoint answers a request of any size or form with a client error", async () => {
  const server = await startOAuthServer();
  const post = async (body: string, type: string) => {
    const answer = await http(`${server.url}/token`, {
      method: "POST",
      headers: { "content-type": type },
      body,
    });
    return answer.status;
  };
  expect(await post("{}", "application/json")).toBe(400);
  expect(await post("", "application/x-www-form-urlencoded")).toBe(400);
  expect(await post("grant_type=password&username=a&password=b", "application/x-www-form-urlencoded")).toBe(
    400,
  );
  expect(
    await post(`code=${"x".repeat(200_000)}`, "application/x-www-form-urlencoded"),
  ).toBeGreaterThanOrEqual(400);
});

test("a form that is not UTF-8 is refused and not repaired", async () => {
  const server = await startOAuthServer();
  for (const body of ["password=a%FFb", Buffer.from([0x70, 0x3d, 0xff])]) {
    const answer = await fetch(`${server.url}/interaction/x`, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body,
    });
    expect(answer.status).toBe(400);
    expect(await answer.text()).toContain("could not be read");
  }
});
