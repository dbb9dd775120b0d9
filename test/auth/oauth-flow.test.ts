import { generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { adapterFor } from "../../src/auth/oauth/adapter.ts";
import { stderrLog } from "../../src/log/log.ts";
import { callTool, connectHttp } from "../support/clients.ts";
import {
  authorize,
  Browser,
  begin,
  CHATGPT,
  CLAUDE_CODE,
  CODEX,
  choose,
  claudeFlow,
  GOOSE,
  goBack,
  mcpStatus,
  refresh,
  signIn,
  startOAuthServer,
  tokenRequest,
  tokensFor,
  VSCODE,
  ZED,
} from "../support/oauth.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { temporaryFolder, testStore } from "../support/store.ts";

const HOUR = 3_600_000;

test("a client gets tokens for the scopes that the operator ticked, and calls tools with them", async () => {
  const server = await startOAuthServer();
  const { back, exchange } = await authorize(server, claudeFlow, {
    scopes: ["read"],
    domains: ["example.nl"],
  });
  expect(back.origin + back.pathname).toBe("https://claude.ai/api/mcp/auth_callback");
  expect(back.searchParams.get("state")).toBe("the client's state");
  expect(back.searchParams.get("iss")).toBe(server.url);
  const { status, body } = await tokenRequest(server, exchange);
  expect(status).toBe(200);
  expect(body).toMatchObject({ token_type: "Bearer", expires_in: 3600, scope: "read" });
  const client = await connectHttp("2.x 2026-07-28", server.url, body.access_token);
  const { structuredContent } = await callTool(client, "list-domains");
  expect(structuredContent).toMatchObject({ domains: [{ domain: "example.nl" }], total: 1 });
  const { structuredContent: users } = await callTool(client, "list-users", { domain: "example.nl" });
  expect(users).toMatchObject({ total: 0 });
  const refreshed = await refresh(server, body.refresh_token);
  expect(refreshed.body.scope).toBe("read");
  const again = await connectHttp("1.x", server.url, refreshed.body.access_token);
  expect((await callTool(again, "list-domains")).structuredContent).toMatchObject({ total: 1 });
});

test("a sign-in may go on, and its code be exchanged, at another server on the same database", async () => {
  const db = join(temporaryFolder(), "m25-mail.db");
  const here = await startOAuthServer({ db });
  const flags = { db, oauth: "true", "public-url": here.url };
  const there = { ...here, url: (await startServer(flags, { fetch: here.standIn.fetch })).url };
  const begun = await begin(here, claudeFlow);
  const browserThere = new Browser(there.url, here.url);
  for (const [name, value] of begun.browser.cookies) browserThere.cookies.set(name, value);
  const consent = await signIn({ ...begun, browser: browserThere });
  const back = await goBack(begun.browser, await choose(begun.browser, consent));
  const { status, body } = await tokenRequest(there, {
    grant_type: "authorization_code",
    code: back.searchParams.get("code") ?? "",
    code_verifier: begun.verifier,
    redirect_uri: claudeFlow.redirectUri,
    client_id: claudeFlow.clientId,
  });
  expect(status).toBe(200);
  expect(await mcpStatus(here, body.access_token)).toBe(200);
  expect((await refresh(there, body.refresh_token)).status).toBe(200);
});

test("a refresh can ask for fewer scopes than allowed, never for more", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  const ask = (token: string, scope: string) =>
    tokenRequest(server, {
      grant_type: "refresh_token",
      refresh_token: token,
      client_id: claudeFlow.clientId,
      scope,
    });
  expect((await ask(refresh_token, "read destroy")).body.error).toBe("invalid_scope");
  const { status, body } = await ask(refresh_token, "read");
  expect([status, body.scope]).toEqual([200, "read"]);
});

test.each(["login", "consent", "login consent"])(
  "a client may ask for a prompt that the server shows anyway: prompt=%s",
  async (prompt) => {
    const server = await startOAuthServer();
    const { back } = await authorize(server, { ...claudeFlow, request: { prompt } });
    expect(back.searchParams.get("code")).toMatch(/^[\w-]{43}$/);
  },
);

test("a refresh token works once and gives the next, and the earlier access token stays valid for its hour", async () => {
  const server = await startOAuthServer();
  const first = await tokensFor(server);
  const second = await refresh(server, first.refresh_token);
  expect(second.status).toBe(200);
  expect(second.body.refresh_token).not.toBe(first.refresh_token);
  expect(second.body.scope).toBe("read write");
  expect(await mcpStatus(server, first.access_token)).toBe(200);
  expect(await mcpStatus(server, second.body.access_token)).toBe(200);
  const third = await refresh(server, second.body.refresh_token);
  expect(third.status).toBe(200);
});

test("a refresh token that is used twice ends its grant and all its tokens", async () => {
  const server = await startOAuthServer();
  const bystander = await tokensFor(server);
  const first = await tokensFor(server);
  const { body: second } = await refresh(server, first.refresh_token);
  expect(await refresh(server, first.refresh_token)).toMatchObject({
    status: 400,
    body: { error: "invalid_grant" },
  });
  for (const token of [first.access_token, second.access_token]) {
    expect(await mcpStatus(server, token)).toBe(401);
  }
  expect((await refresh(server, second.refresh_token)).status).toBe(400);
  expect(await mcpStatus(server, bystander.access_token)).toBe(200);
});

test("when one refresh token is sent many times at once, at most one is answered, and the grant ends", async () => {
  const server = await startOAuthServer();
  const { refresh_token } = await tokensFor(server);
  const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(server, refresh_token)));
  const tokens = answers.filter(({ status }) => status === 200);
  expect(tokens.length).toBeLessThanOrEqual(1);
  for (const { body } of tokens) {
    expect(await mcpStatus(server, body.access_token)).toBe(401);
    expect((await refresh(server, body.refresh_token)).status).toBe(400);
  }
  expect((await server.must("list-oauth-grants")).grants).toEqual([]);
});

test("when one token is used twice at once, one of the two is refused as used, and the grant ends", async () => {
  const { store } = testStore();
  const adapter = adapterFor(store, () => 1, stderrLog());
  const tokens = adapter("RefreshToken");
  await adapter("Grant").upsert("a grant", {}, 60);
  await tokens.upsert("a token", { grantId: "a grant" }, 60);
  await tokens.upsert("another of the grant", { grantId: "a grant" }, 60);
  const outcomes = await Promise.allSettled([tokens.consume("a token"), tokens.consume("a token")]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
  expect(await tokens.find("a token")).toBeUndefined();
  expect(await tokens.find("another of the grant")).toBeUndefined();
});

test("a code works once, and its second use ends the tokens that it gave", async () => {
  const server = await startOAuthServer();
  const { exchange } = await authorize(server);
  const { body } = await tokenRequest(server, exchange);
  expect(await mcpStatus(server, body.access_token)).toBe(200);
  expect((await tokenRequest(server, exchange)).body.error).toBe("invalid_grant");
  expect(await mcpStatus(server, body.access_token)).toBe(401);
  expect((await refresh(server, body.refresh_token)).status).toBe(400);
});

test.each([
  ["another verifier", { code_verifier: "w".repeat(43) }],
  ["no verifier", { code_verifier: undefined }],
  ["another address to go back to", { redirect_uri: "https://claude.com/api/mcp/auth_callback" }],
  ["another client", { client_id: CLAUDE_CODE }],
  ["another resource", { resource: "https://other.example/mcp" }],
])("a code with %s gives no token", async (_what, change) => {
  const server = await startOAuthServer();
  const { exchange } = await authorize(server);
  const parameters = Object.entries({ ...exchange, ...change }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const answer = await tokenRequest(server, Object.fromEntries(parameters));
  expect(answer.status).toBe(400);
  expect(answer.body.access_token).toBeUndefined();
});

test("an access token expires after an hour", async () => {
  let now = new Date();
  const server = await startOAuthServer({}, { now: () => now });
  const { access_token } = await tokensFor(server);
  now = new Date(now.getTime() + HOUR - 60_000);
  expect(await mcpStatus(server, access_token)).toBe(200);
  now = new Date(now.getTime() + 120_000);
  expect(await mcpStatus(server, access_token)).toBe(401);
});

test("a token for another resource is refused", async () => {
  const server = await startOAuthServer();
  const { access_token } = await tokensFor(server);
  expect(await mcpStatus(server, access_token)).toBe(200);
  rawDatabase(server.database)
    .prepare("UPDATE oauth SET payload = json_set(payload, '$.aud', ?) WHERE kind = 'AccessToken'")
    .run("https://other.example/mcp");
  expect(await mcpStatus(server, access_token)).toBe(401);
});

test("each kind of credential is refused where another kind belongs", async () => {
  const server = await startOAuthServer();
  const { access_token, refresh_token } = await tokensFor(server);
  const { sync_key } = await server.must("add-node", { name: "pi" });
  const status = async (path: string, credential: unknown) => {
    const answer = await fetch(server.url + path, { headers: { authorization: `Bearer ${credential}` } });
    return answer.status;
  };
  for (const path of ["/api/list-domains", "/api/openapi.json", "/metrics", "/sync/v1/maps", "/nowhere"])
    for (const token of [access_token, refresh_token]) expect(await status(path, token), path).toBe(401);
  expect(await status(`/mcp?access_token=${access_token}`, "")).toBe(401);
  expect(await status("/api/list-domains", server.token)).toBe(200);
  expect(await status("/sync/v1/maps", server.token)).toBe(401);
  expect(await mcpStatus(server, refresh_token)).toBe(401);
  expect(await mcpStatus(server, String(sync_key))).toBe(401);
  expect(await mcpStatus(server, server.token)).toBe(200);
  expect((await refresh(server, access_token)).status).toBe(400);
  expect((await refresh(server, server.token)).status).toBe(400);
});

test("a server without OAuth accepts no OAuth token, even of its own database", async () => {
  const server = await startOAuthServer();
  const { access_token } = await tokensFor(server);
  await server.close();
  const { url } = await startServer({ db: server.database });
  const answer = await fetch(`${url}/mcp`, {
    method: "POST",
    headers: { authorization: `Bearer ${access_token}` },
  });
  expect(answer.status).toBe(401);
  expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="m25-mail"');
});

test("an operator sees the grants of clients and ends one at once", async () => {
  const server = await startOAuthServer();
  const tokens = await tokensFor(server, claudeFlow, { scopes: ["read"], domains: ["example.org"] });
  const other = await tokensFor(server);
  const { grants } = (await server.must("list-oauth-grants")) as { grants: Array<Record<string, unknown>> };
  const grant = grants.find(({ domains }) => domains !== null);
  expect(grants).toHaveLength(2);
  expect(grant).toMatchObject({
    id: expect.stringMatching(/^[0-9a-f]{8}$/),
    client: "Claude",
    client_id: claudeFlow.clientId,
    scopes: ["read"],
    domains: ["example.org"],
    refreshed_at: expect.any(String),
  });
  expect(JSON.stringify(grants)).not.toContain(tokens.access_token);
  await server.must("revoke-oauth-grant", { id: grant?.id });
  expect(await mcpStatus(server, tokens.access_token)).toBe(401);
  expect((await refresh(server, tokens.refresh_token)).status).toBe(400);
  expect(await mcpStatus(server, other.access_token)).toBe(200);
  await expect(server.must("revoke-oauth-grant", { id: grant?.id })).rejects.toMatchObject({
    code: "grant_not_found",
  });
});

test("a client revokes its token, and the grant ends", async () => {
  const server = await startOAuthServer();
  const { access_token, refresh_token } = await tokensFor(server);
  const answer = await fetch(`${server.url}/revoke`, {
    method: "POST",
    body: new URLSearchParams({ token: refresh_token, client_id: claudeFlow.clientId }),
  });
  expect(answer.status).toBe(200);
  expect(await mcpStatus(server, access_token)).toBe(401);
  expect((await refresh(server, refresh_token)).status).toBe(400);
});

test("a client's calls are in the audit log under its name and its grant's id", async () => {
  const server = await startOAuthServer();
  const { access_token } = await tokensFor(server);
  const client = await connectHttp("2.x legacy", server.url, access_token);
  await callTool(client, "add-domain", { domain: "example.com" });
  const { grants } = (await server.must("list-oauth-grants")) as { grants: Array<{ id: string }> };
  const entry = rawDatabase(server.database)
    .prepare("SELECT principal, door FROM audit_log WHERE arguments LIKE '%example.com%'")
    .get();
  expect(entry).toEqual({ principal: `oauth:Claude/${grants[0]?.id}`, door: "mcp" });
});

test("grants and pending requests survive a restart", async () => {
  const server = await startOAuthServer();
  const tokens = await tokensFor(server);
  const begun = await begin(server, claudeFlow);
  await server.close();
  const { port } = new URL(server.url);
  const again = await startServer(
    { oauth: "true", port, "public-url": server.url, db: server.database },
    { fetch: server.standIn.fetch },
  );
  expect(await mcpStatus(again, tokens.access_token)).toBe(200);
  expect((await refresh(server, tokens.refresh_token)).status).toBe(200);
  const consent = await signIn(begun);
  const back = await goBack(begun.browser, await choose(begun.browser, consent));
  expect(back.searchParams.get("code")).toMatch(/^[\w-]{43}$/);
});

test.each([
  ["Claude Code on any port", CLAUDE_CODE, "http://localhost:51234/callback"],
  ["Claude Code on 127.0.0.1", CLAUDE_CODE, "http://127.0.0.1:3118/callback"],
  ["Codex on any port", CODEX, "http://127.0.0.1:40001/callback"],
  ["goose on ::1", GOOSE, "http://[::1]:40002/oauth_callback"],
  ["Zed on any port", ZED, "http://127.0.0.1:40003/callback"],
  ["VS Code on its own port", VSCODE, "http://127.0.0.1:33418/"],
  ["VS Code on another port", VSCODE, "http://127.0.0.1:45678/"],
  ["VS Code in a browser", VSCODE, "https://vscode.dev/redirect"],
])("%s gets tokens", async (_who, clientId, redirectUri) => {
  const server = await startOAuthServer();
  const tokens = await tokensFor(server, { clientId, redirectUri });
  expect(tokens.scope).toBe("read write"); // it asked for none
  expect(await mcpStatus(server, tokens.access_token)).toBe(200);
});

test("a registered client gets tokens until it is removed", async () => {
  const server = await startOAuthServer();
  await server.must("add-oauth-client", {
    name: "cursor",
    redirect_uris: ["http://localhost:8787/callback", "cursor://anysphere.cursor-mcp/oauth/callback"],
  });
  const flow = { clientId: "cursor", redirectUri: "cursor://anysphere.cursor-mcp/oauth/callback" };
  const { access_token, refresh_token } = await tokensFor(server, flow);
  expect(await mcpStatus(server, access_token)).toBe(200);
  expect((await refresh(server, refresh_token, flow)).status).toBe(200);
  await server.must("remove-oauth-client", { name: "cursor" });
  expect(await mcpStatus(server, access_token)).toBe(401);
  expect((await begin(server, flow)).page.status).toBe(400);
});

test("ChatGPT identifies itself with its key, and another key is refused", async () => {
  const server = await startOAuthServer();
  const its = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const others = generateKeyPairSync("rsa", { modulusLength: 2048 });
  server.standIn.serves["https://chatgpt.com/oauth/jwks.json"] = {
    keys: [{ ...its.publicKey.export({ format: "jwk" }), kid: "1", alg: "RS256", use: "sig" }],
  };
  const assertion = ({ privateKey }: typeof its) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: CHATGPT,
      sub: CHATGPT,
      aud: server.url,
      jti: randomUUID(),
      iat: now,
      exp: now + 60,
    };
    const parts = [{ alg: "RS256", kid: "1" }, claims].map((part) =>
      Buffer.from(JSON.stringify(part)).toString("base64url"),
    );
    const text = parts.join(".");
    return `${text}.${sign("sha256", Buffer.from(text), privateKey).toString("base64url")}`;
  };
  const flow = {
    clientId: CHATGPT,
    redirectUri: "https://chatgpt.com/connector_platform_oauth_redirect",
    scope: "read offline_access",
  };
  const { exchange } = await authorize(server, flow, { scopes: ["read"] });
  const signed = (keys: typeof its) => ({
    ...exchange,
    client_assertion: assertion(keys),
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
  });
  expect((await tokenRequest(server, exchange)).status).toBeGreaterThanOrEqual(400);
  expect((await tokenRequest(server, signed(others))).status).toBe(401);
  const { status, body } = await tokenRequest(server, signed(its));
  expect(status).toBe(200);
  expect(body.refresh_token).toMatch(/^[\w-]{43}$/);
  expect(await mcpStatus(server, body.access_token)).toBe(200);
});
