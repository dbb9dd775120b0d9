import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { certificate } from "../support/certificate.ts";
import { http } from "../support/http.ts";
import { Browser, begin, claudeFlow, field, OPERATOR_PASSWORD, startOAuthServer } from "../support/oauth.ts";
import { addNode, setPassword, signedInBrowser, startPageServer, withheld } from "../support/page.ts";
import { m25mail } from "../support/program.ts";
import { startServer } from "../support/server.ts";

const HTML = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const FORM = { ...HTML, "content-type": "application/x-www-form-urlencoded" };
const views = [
  "/",
  "/page/nodes",
  "/page/domains",
  "/page/changes",
  "/page/access",
  "/page/accept",
  "/page/end-grant",
];
const forms = ["/page/sign-in", "/page/sign-out", "/page/accept", "/page/end-grant"];

const isSignedIn = async (browser: Browser) => (await browser.get("/")).body.includes("Sign out");

test("strangers see a password form on every page, and no data of the server", async () => {
  const server = await startPageServer();
  await server.must("add-domain", { domain: "example.nl" });
  await addNode(server, "pi", withheld(3));
  for (const path of views) {
    const { status, body } = await http(server.url + path, { headers: HTML });
    expect(status).toBe(200);
    expect(body).toContain("Operator’s password");
    expect(body).not.toMatch(/example\.nl|pi\b|Revision|<script|\son\w+=/);
  }
  for (const path of forms) {
    const { status, body } = await http(server.url + path, {
      method: "POST",
      headers: FORM,
      body: "name=pi",
    });
    expect(status).toBe(403);
    expect(body).toContain("did not come from this server’s page");
  }
});

test("without an operator's password the page says how to set one, and works as soon as it is set", async () => {
  const server = await startServer();
  const browser = new Browser(server.url);
  const { body } = await browser.get("/");
  expect(body).toContain("m25-mail operator set-password");
  expect(body).not.toContain("<form");
  const set = await m25mail(["operator", "set-password", "--db", server.database], {
    input: `${OPERATOR_PASSWORD}\n`,
  });
  expect(set.code).toBe(0);
  expect(await isSignedIn(await signedInBrowser(server))).toBe(true);
});

test("programs are answered as if there were no page", async () => {
  const server = await startPageServer();
  const kinds: Array<Record<string, string>> = [{}, { accept: "*/*" }, { accept: "application/json" }];
  for (const headers of kinds) {
    for (const path of views) {
      const answer = await http(server.url + path, { headers });
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([401, "unauthorized"]);
      const authorization = `Bearer ${server.token}`;
      expect((await http(server.url + path, { headers: { ...headers, authorization } })).status).toBe(404);
    }
  }
});

test("no answer can be framed, run a script, load anything, be kept, or tell another site where it was", async () => {
  const server = await startPageServer();
  const browser = await signedInBrowser(server);
  const answers = [
    await http(`${server.url}/`, { headers: HTML }),
    await browser.get("/"),
    await browser.get("/page/nodes?status=nonsense"),
    await browser.post("/page/sign-in", [["password", "x"]]),
    await browser.post("/page/accept", [["csrf", "x"]]),
    await http(`${server.url}/page/sign-in`, { method: "POST", headers: FORM, body: "x".repeat(5000) }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 400, 403, 403, 413]);
  for (const { headers } of answers) {
    expect(headers).toMatchObject({
      "x-frame-options": "DENY",
      "x-content-type-options": "nosniff",
      "referrer-policy": "same-origin",
      "cache-control": "no-store",
      "content-type": "text/html; charset=utf-8",
    });
    expect(headers["content-security-policy"]).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/,
    );
  }
});

test("only this host and this server get the cookies, and with HTTPS no plain connection does", async () => {
  const plain = await signedInBrowser(await startPageServer());
  expect(plain.set).toEqual([
    expect.stringMatching(/^m25-mail-form=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    expect.stringMatching(/^m25-mail-session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/),
    "m25-mail-form=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict",
  ]);
  const server = await startPageServer({
    "public-url": "https://mail.example.nl",
    "trusted-proxies": "127.0.0.1",
  });
  const behindProxy = await signedInBrowser(server, "https://mail.example.nl");
  expect(behindProxy.set).toEqual([
    expect.stringMatching(/^__Host-m25-mail-form=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/),
    expect.stringMatching(/^__Host-m25-mail-session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/),
    "__Host-m25-mail-form=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict; Secure",
  ]);
  expect(await isSignedIn(behindProxy)).toBe(true);
  expect(server.log.join("\n")).toMatch(/the operator signed in/);
});

test("a server with its own certificate also sets the cookies for HTTPS", async () => {
  const { cert, key } = certificate();
  const server = await startPageServer({ "tls-cert": cert, "tls-key": key });
  const { headers } = await http(`${server.url}/`, { headers: HTML, ca: readFileSync(cert) });
  expect(headers["set-cookie"]).toEqual([expect.stringMatching(/^__Host-.*; Secure$/)]);
});

test("an unencrypted connection gets no password form, and a form with a password is refused", async () => {
  const server = await startPageServer({ "allowed-hosts": "mail.lan" });
  const { status, body } = await http(`${server.url}/`, { headers: { ...HTML, host: "mail.lan" } });
  expect([status, body.includes("not encrypted"), body.includes("<form")]).toEqual([403, true, false]);
  const sent = await http(`${server.url}/page/sign-in`, {
    method: "POST",
    headers: { ...FORM, host: "mail.lan" },
    body: `password=${encodeURIComponent(OPERATOR_PASSWORD)}`,
  });
  expect([sent.status, sent.headers["set-cookie"]]).toEqual([403, undefined]);
});

test("a name that is not the server's is refused, and so is another origin's form", async () => {
  const server = await startPageServer();
  const strange: Array<Record<string, string>> = [
    { host: "evil.example" },
    { origin: "https://evil.example" },
    { origin: "null" },
  ];
  for (const headers of strange) {
    expect((await http(`${server.url}/`, { headers: { ...HTML, ...headers } })).status).toBe(403);
  }
});

test.each<[string, (other: string) => Array<[string, string]>, Record<string, string>]>([
  ["without the page's token", () => [], {}],
  ["with a token of one's own", () => [["csrf", "x".repeat(43)]], {}],
  ["with the token that another browser got", (other) => [["csrf", other]], {}],
])("a form %s is refused, before and after the sign-in", async (_what, csrf) => {
  const server = await startPageServer();
  await addNode(server, "pi", withheld(3));
  const other = new Browser(server.url);
  const strange = csrf(field((await other.get("/")).body, "csrf"));
  const browser = new Browser(server.url);
  await browser.get("/");
  const signingIn = await browser.post("/page/sign-in", [...strange, ["password", OPERATOR_PASSWORD]]);
  expect([signingIn.status, await isSignedIn(browser)]).toEqual([403, false]);
  const operator = await signedInBrowser(server);
  const theirs = csrf(field((await (await signedInBrowser(server)).get("/")).body, "csrf"));
  const accepting = await operator.post("/page/accept", [...theirs, ["name", "pi"], ["count", "3 0 0"]]);
  expect(accepting.status).toBe(403);
  expect((await operator.post("/page/sign-out", theirs)).status).toBe(403);
  expect(await isSignedIn(operator)).toBe(true);
  const { entries } = await server.must("read-audit");
  expect(JSON.stringify(entries)).not.toContain("accept-removals");
});

test("a form with the right token that another site's page sent is refused", async () => {
  const server = await startPageServer();
  const operator = await signedInBrowser(server);
  const csrf: Array<[string, string]> = [["csrf", field((await operator.get("/")).body, "csrf")]];
  for (const site of ["cross-site", "same-site", "none"]) {
    expect((await operator.post("/page/sign-out", csrf, { "sec-fetch-site": site })).status).toBe(403);
  }
  expect((await operator.post("/page/sign-out", csrf, { "sec-fetch-site": "same-origin" })).status).toBe(303);
});

test("a sign-out ends the session on the server, not only in the browser", async () => {
  const server = await startPageServer();
  const browser = await signedInBrowser(server);
  const kept = new Map(browser.cookies);
  await browser.post("/page/sign-out", [["csrf", field((await browser.get("/")).body, "csrf")]]);
  expect(browser.cookies.has("m25-mail-session")).toBe(false);
  const thief = new Browser(server.url);
  for (const [name, value] of kept) thief.cookies.set(name, value);
  expect(await isSignedIn(thief)).toBe(false);
});

test("a session ends after half an hour without a request, and after eight hours in any case", async () => {
  let now = new Date("2026-03-01T08:00:00Z");
  const later = (minutes: number) => {
    now = new Date(now.getTime() + minutes * 60_000);
  };
  const server = await startPageServer({}, { now: () => now });
  const idle = await signedInBrowser(server);
  later(30);
  expect(await isSignedIn(idle)).toBe(true);
  later(30.1);
  expect(await isSignedIn(idle)).toBe(false);
  const busy = await signedInBrowser(server);
  for (let round = 0; round < 16; round += 1) {
    later(30);
    expect(await isSignedIn(busy)).toBe(true);
  }
  later(1);
  expect(await isSignedIn(busy)).toBe(false);
});

test("setting the operator's password ends every sign-in, even if the password stays the same", async () => {
  const server = await startPageServer();
  const browsers = [await signedInBrowser(server), await signedInBrowser(server)];
  for (const browser of browsers) expect(await isSignedIn(browser)).toBe(true);
  await setPassword(server, OPERATOR_PASSWORD);
  for (const browser of browsers) expect(await isSignedIn(browser)).toBe(false);
});

test("the cookie opens no other door, no token opens the page, and no file or log has it", async () => {
  const server = await startPageServer();
  const browser = await signedInBrowser(server);
  await browser.get("/");
  const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  for (const path of ["/api/list-domains", "/mcp", "/metrics", "/sync/v1/maps"]) {
    const answer = await http(server.url + path, { headers: { ...HTML, cookie } });
    expect([answer.status, answer.headers["set-cookie"]], path).toEqual([401, undefined]);
  }
  const { body } = await http(`${server.url}/`, {
    headers: { ...HTML, authorization: `Bearer ${server.token}` },
  });
  expect(body).toContain("Operator’s password");
  const secret = browser.cookies.get("m25-mail-session") ?? "";
  expect(secret).toHaveLength(43);
  expect(server.log.join("\n")).not.toContain(secret);
  const folder = dirname(server.database);
  for (const file of readdirSync(folder)) {
    expect(readFileSync(join(folder, file), "latin1").includes(secret), file).toBe(false);
  }
});

test("guesses at the page and at the page of OAuth count together, and too many at once are refused", async () => {
  const server = await startOAuthServer();
  const begun = await begin(server, claudeFlow);
  const browser = new Browser(server.url);
  const csrf: [string, string] = ["csrf", field((await browser.get("/")).body, "csrf")];
  const guess = () => browser.post("/page/sign-in", [csrf, ["password", "a wrong guess"]]);
  for (let failures = 0; failures < 3; failures += 1) expect((await guess()).status).toBe(403);
  const refused: number[] = [];
  for (let n = 0; n < 11; n += 1) {
    guess().then(
      ({ status }) => refused.push(status),
      () => {}, // the test's end cuts off the waiting ones
    );
  }
  await expect.poll(() => refused).toContain(429);
  const other = await begun.browser.post(begun.page.url, [
    ["csrf", field(begun.page.body, "csrf")],
    ["password", OPERATOR_PASSWORD],
    ["decision", "sign-in"],
  ]);
  expect([other.status, other.body.includes("Too many attempts")]).toEqual([429, true]);
});

test("a body that is not a form, too large or not UTF-8 is refused in plain words", async () => {
  const server = await startPageServer();
  const send = (body: string, type = FORM["content-type"]) =>
    http(`${server.url}/page/sign-in`, { method: "POST", headers: { ...HTML, "content-type": type }, body });
  expect((await send("{}", "application/json")).status).toBe(415);
  expect((await send(`password=${"x".repeat(5000)}`)).status).toBe(413);
  expect((await send("password=%ff")).status).toBe(400);
  for (const answer of [await send("<b>canary", "text/plain"), await send("a=%ff<b>canary")]) {
    expect(answer.body).toContain("<h1>This did not work</h1>");
    expect(answer.body).not.toContain("canary");
  }
  for (const method of ["PUT", "DELETE"]) {
    expect((await http(`${server.url}/`, { method, headers: HTML })).status).toBe(401);
  }
});

test("an address that asks too often has to wait", async () => {
  const server = await startPageServer({ "limit-requests": "3" });
  const statuses = [];
  for (let n = 0; n < 5; n += 1) statuses.push((await http(`${server.url}/`, { headers: HTML })).status);
  expect(statuses).toEqual([200, 200, 200, 429, 429]);
});

test("strangers keep no connection", async () => {
  const server = await startPageServer();
  const { headers } = await http(`${server.url}/`, { headers: { ...HTML, connection: "keep-alive" } });
  expect(headers.connection).toBe("close");
});
