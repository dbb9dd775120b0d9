import { expect, test } from "vitest";
import {
  Browser,
  begin,
  CLAUDE,
  CLAUDE_CODE,
  choose,
  claudeFlow,
  documents,
  field,
  goBack,
  OPERATOR_PASSWORD,
  signIn,
  startOAuthServer,
  tokensFor,
} from "../support/oauth.ts";

test("the page names the client, its scopes and its redirect address, and lists no domain before the password", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, { ...claudeFlow, scope: "read destroy" });
  const { body, headers } = begun.page;
  expect(body).toMatch(/<strong>Claude<\/strong>, according to <strong>claude\.ai<\/strong>/);
  expect(body).toMatch(/Goes back to<\/dt><dd><strong>claude\.ai<\/strong>/);
  expect(body).toContain("see domains and mailboxes, remove for good");
  expect(body).toContain(`Works on</dt><dd><strong>${new URL(server.url).host}</strong>`);
  expect(body).not.toContain("Any program on your computer");
  expect(body).not.toContain("example.nl");
  expect(body).not.toMatch(/<script|\son\w+=/);
  expect(headers["cache-control"]).toBe("no-store");
  const consent = await signIn(begun);
  expect(consent.body).toContain("example.nl");
  expect(consent.body).toMatch(/value="read" checked/);
  expect(consent.body).toMatch(/value="destroy">/); // requested, but not ticked yet
  expect(consent.body).not.toMatch(/value="(write|nodes)"/);
});

test("the page tells a program on the same computer from a client that the operator registered", async () => {
  const server = await startOAuthServer();
  const code = await begin(server, { clientId: CLAUDE_CODE, redirectUri: "http://localhost:4711/callback" });
  expect(code.page.body).toContain("a program on your own computer (localhost:4711)");
  expect(code.page.body).toContain("Any program on your computer can give itself that name.");
  await server.must("add-oauth-client", { name: "mine", redirect_uris: ["myapp://back"] });
  const mine = await begin(server, { clientId: "mine", redirectUri: "myapp://back" });
  expect(mine.page.body).toContain("registered here as <code>mine</code>");
  expect(mine.page.body).toContain("the app that opens myapp: links");
});

test("the page forbids framing, scripts, other resources and caching", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const wrong = await begun.browser.post(begun.page.url, [["csrf", "x"]]);
  const back = await choose(begun.browser, consent);
  for (const { headers } of [begun.page, consent, wrong, back]) {
    expect(headers["content-security-policy"]).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
    expect(headers["x-frame-options"]).toBe("DENY");
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["x-content-type-options"]).toBe("nosniff");
  }
});

test("a client's name cannot become markup", async () => {
  const server = await startOAuthServer();
  const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>`;
  server.standIn.serves[CLAUDE] = { ...documents[CLAUDE], client_name: evil };
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  for (const { body } of [begun.page, consent]) {
    expect(body).not.toMatch(/<script|<img/);
    expect(body).toContain("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#39;&#62;");
  }
  await choose(begun.browser, consent);
  expect(server.log.join("\n")).not.toMatch(/[<>]/);
});

test.each([
  ["without the page's token", () => []],
  ["with an invented token", () => [["csrf", "x".repeat(43)]]],
  ["with the token of another request", (other: string) => [["csrf", other]]],
] as Array<[string, (other: string) => Array<[string, string]>]>)(
  "a form %s is refused",
  async (_what, csrf) => {
    const server = await startOAuthServer();
    const other = await begin(server, claudeFlow);
    const begun = await begin(server, claudeFlow);
    const token = csrf(field(other.page.body, "csrf"));
    const signingIn = await begun.browser.post(begun.page.url, [...token, ["password", OPERATOR_PASSWORD]]);
    expect(signingIn.status).toBe(403);
    await signIn(begun);
    const allowing = await begun.browser.post(begun.page.url, [
      ...token,
      ["scope", "read"],
      ["access", "all"],
      ["decision", "allow"],
    ]);
    expect(allowing.status).toBe(403);
    expect(allowing.body).not.toContain('http-equiv="refresh"');
  },
);

test("a form from another site's page is refused, even with the right token", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const form: Array<[string, string]> = [
    ["csrf", field(consent.body, "csrf")],
    ["scope", "read"],
    ["access", "all"],
    ["decision", "allow"],
  ];
  for (const origin of ["https://evil.example", "null"]) {
    expect((await begun.browser.post(consent.url, form, { origin })).status).toBe(403);
  }
  expect((await begun.browser.post(consent.url, form)).status).toBe(200);
});

test("a request that began in one browser cannot be viewed or approved in another", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const other = new Browser(server.url);
  expect((await other.get(begun.page.url)).status).toBe(400);
  const own = await begin(server, claudeFlow, other);
  expect(own.page.status).toBe(200);
  expect((await other.get(begun.page.url)).status).toBe(400);
  const answer = await other.post(begun.page.url, [
    ["csrf", field(begun.page.body, "csrf")],
    ["password", OPERATOR_PASSWORD],
  ]);
  expect(answer.status).toBe(400);
});

test.each([
  ["a scope that the client did not ask for", { scopes: ["read", "destroy"] }, "More is ticked"],
  ["a scope that does not exist", { scopes: ["read", "root"] }, "More is ticked"],
  ["nothing", { scopes: [] }, "Tick what it may do"],
  ["a domain that is not registered", { domains: ["evil.example"] }, "not registered"],
  ["no domain", { domains: [] }, "at least one domain"],
])("a forged form with %s allows nothing", async (_what, choice, words) => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const answer = await choose(begun.browser, consent, choice);
  expect(answer.status).toBe(400);
  expect(answer.body).toContain(words);
  expect(answer.body).not.toContain('http-equiv="refresh"');
  expect((await server.must("list-oauth-grants")).grants).toEqual([]);
});

test("nodes are never allowed together with a list of domains, because mail servers serve all domains", async () => {
  const server = await startOAuthServer();
  const flow = { ...claudeFlow, scope: "read nodes" };
  const begun = await begin(server, flow);
  const consent = await signIn(begun);
  const answer = await choose(begun.browser, consent, {
    scopes: ["read", "nodes"],
    domains: ["example.nl"],
  });
  expect(answer.status).toBe(400);
  expect(answer.body).toContain("Mail servers serve all domains");
  const { scope } = await tokensFor(server, flow, { scopes: ["read", "nodes"] });
  expect(scope).toBe("read nodes");
});

test("the choices are kept when the form comes back", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  const { body } = await choose(begun.browser, consent, { scopes: [], domains: ["example.org"] });
  expect(body).toMatch(/role="alert"/);
  expect(body).toMatch(/value="some" required checked/);
  expect(body).toMatch(/value="example\.org" checked/);
  expect(body).not.toMatch(/value="read" checked/);
});

test("an operator with too many domains for a list types their names", async () => {
  const server = await startOAuthServer();
  for (let number = 0; number < 100; number += 1)
    await server.must("add-domain", { domain: `d${number}.nl` });
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  expect(consent.body).toContain("<textarea");
  const answer = await choose(begun.browser, consent, { domains: ["d1.nl\nd2.nl, d3.nl"] });
  await goBack(begun.browser, answer);
  const { grants } = await server.must("list-oauth-grants");
  expect(grants).toMatchObject([{ domains: ["d1.nl", "d2.nl", "d3.nl"] }]);
});

test("a denial is reported to the client", async () => {
  const server = await startOAuthServer();
  for (const signsInFirst of [false, true]) {
    const begun = await begin(server, claudeFlow);
    const page = signsInFirst ? await signIn(begun) : begun.page;
    const answer = await begun.browser.post(page.url, [
      ["csrf", field(page.body, "csrf")],
      ["decision", "deny"],
    ]);
    const back = await goBack(begun.browser, answer);
    expect(back.origin).toBe("https://claude.ai");
    expect(back.searchParams.get("error")).toBe("access_denied");
    expect(back.searchParams.get("iss")).toBe(server.url);
    expect(back.searchParams.has("code")).toBe(false);
  }
});

test("a wrong password is refused and approves nothing", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const answer = await signIn(begun, "a wrong password");
  expect(answer.status).toBe(403);
  expect(answer.body).toContain("not the operator’s password");
  expect(answer.body).not.toContain("example.nl");
  expect(answer.body).not.toContain("a wrong password");
  const forged = await choose(begun.browser, { ...answer, url: begun.page.url });
  expect(forged.status).toBe(403);
  expect(forged.body).not.toContain('http-equiv="refresh"');
});

test("continuing without an approval starts again", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  await signIn(begun);
  const uid = begun.page.url.split("/").at(-1);
  const page = await begun.browser.get(`/authorize/${uid}`);
  expect(page.status).toBe(200);
  expect(page.url).toMatch(/\/interaction\//);
  expect(page.body).toContain('type="password"');
});

test("each approval needs the password again, even for the same client in the same browser", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const consent = await signIn(begun);
  await goBack(begun.browser, await choose(begun.browser, consent));
  const again = await begin(server, claudeFlow, begun.browser);
  expect(again.page.body).toContain('type="password"');
  expect(again.page.body).not.toContain("example.nl");
});

test("while no password is set, the page says how to set one and lets nobody in", async () => {
  const server = await startOAuthServer({}, { password: null });
  const begun = await begin(server, claudeFlow);
  expect(begun.page.body).toContain("m25-mail operator set-password");
  expect(begun.page.body).not.toContain('type="password"');
  for (const password of ["", "anything at all"]) {
    expect((await signIn(begun, password)).status).toBe(403);
  }
});

test("behind a TLS proxy the sign-in works, and its cookies are for HTTPS and this host only", async () => {
  const origin = "https://mail.example.nl";
  const server = await startOAuthServer({ "public-url": origin });
  const browser = new Browser(server.url, origin);
  const begun = await begin(server, { ...claudeFlow, resource: `${origin}/mcp` }, browser);
  expect(begun.page.url).toMatch(/^https:\/\/mail\.example\.nl\/interaction\//);
  const consent = await signIn(begun);
  const back = await goBack(browser, await choose(browser, consent));
  expect(back.searchParams.get("iss")).toBe(origin);
  const cookies = browser.set.filter((line) => !/=;/.test(line));
  expect(cookies.length).toBeGreaterThan(3);
  for (const line of cookies) {
    expect(line).toMatch(/; secure/);
    expect(line).toMatch(/; httponly/);
    expect(line).toMatch(/; samesite=lax/);
    expect(line).not.toMatch(/; domain=/);
  }
});
