import bcrypt from "bcrypt";
import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { Browser, field } from "../support/oauth.ts";
import { makeAppPassword, send, signIn } from "../support/owner.ts";
import { m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer, type TestServer } from "../support/server.ts";

const FIRST = "brown hen in a tall tree";
const SECOND = "grey goose on a low wall";
const JAN = "jan@example.nl";
const HTML = { accept: "text/html" };
const FORM = { ...HTML, "content-type": "application/x-www-form-urlencoded" };

const flags = { tools: "people", "public-url": "http://localhost:8625" };

async function withJan(options: { now?: () => Date } = {}, more: Record<string, string> = {}) {
  const server = await startServer({ ...flags, ...more }, options);
  await server.api("add-domain", { domain: "example.nl" });
  await server.api("add-user", { email: JAN, password: FIRST });
  return { server, browser: new Browser(server.url) };
}

const change = (browser: Browser, present: string, password: string, again = password) =>
  send(browser, "password", { present, password, again });

const isSignedIn = async (browser: Browser) => (await browser.get("/owner/")).body.includes("App passwords");

async function auditOf({ database }: TestServer): Promise<string> {
  return (await m25mail(["audit", "--json", "--db", database])).stdout;
}

test("an owner signs in, changes the password, and signs in with the new one alone", async () => {
  const { server, browser } = await withJan();
  const done = await signIn(browser, " Jan@Example.NL ", FIRST);
  expect([done.status, done.headers.location]).toEqual([303, "./"]);
  expect((await browser.get("/owner/")).body).toContain(JAN);
  expect((await change(browser, FIRST, SECOND)).status).toBe(200);
  expect(await isSignedIn(browser)).toBe(false);
  expect((await signIn(new Browser(server.url), JAN, FIRST)).status).toBe(403);
  expect((await signIn(browser, JAN, SECOND)).status).toBe(303);
  expect(await isSignedIn(browser)).toBe(true);
  const audit = await auditOf(server);
  expect(audit).toContain('"tool":"change-own-password"');
  for (const secret of [FIRST, SECOND]) {
    expect(audit).not.toContain(secret);
    expect(server.log.join("\n")).not.toContain(secret);
  }
});

test("an app password is shown once, and neither it nor its hash is in the log or the audit log", async () => {
  const { server, browser } = await withJan();
  await signIn(browser, JAN, FIRST);
  const phone = await makeAppPassword(browser, "Jan’s <b>phone</b>");
  const { body } = await browser.get("/owner/");
  expect(body).toContain("Jan’s &#60;b&#62;phone&#60;/b&#62;");
  expect(body).not.toContain(phone);
  const column = String(
    rawDatabase(server.database).prepare("SELECT app_passwords FROM users").pluck().get(),
  );
  const [{ selector, hash }] = JSON.parse(column);
  expect(column).not.toContain(phone);
  expect((await send(browser, "end-app-password", { name: "Jan’s <b>phone</b>" })).status).toBe(303);
  expect((await browser.get("/owner/")).body).toContain("has ended");
  const audit = await auditOf(server);
  expect(audit).toContain('"tool":"make-app-password"');
  expect(audit).toContain('"tool":"end-app-password"');
  for (const secret of [phone, selector, hash, FIRST])
    expect(audit + server.log.join("\n")).not.toContain(secret);
});

test("an app password does not sign in here", async () => {
  const { server, browser } = await withJan();
  await signIn(browser, JAN, FIRST);
  const phone = await makeAppPassword(browser, "Phone");
  expect((await signIn(new Browser(server.url), JAN, phone)).status).toBe(403);
});

test("a wrong password, and every address that cannot sign in, are answered the same", async () => {
  const { server } = await withJan({}, { "trusted-proxies": "127.0.0.1" });
  for (const email of ["off@example.nl", "gone@example.nl", "moved@example.nl"])
    await server.api("add-user", { email, password: FIRST });
  await server.api("set-user", { email: "off@example.nl", login: "off" });
  await server.api("remove-user", { email: "gone@example.nl" });
  await server.api("invite-user", { email: "new@example.nl" });
  rawDatabase(server.database)
    .prepare("UPDATE users SET password_hash = ? WHERE local_part = 'moved'")
    .run(`{SHA512-CRYPT}$6$saltsalt$${"x".repeat(86)}`);
  const attempts = [
    [JAN, "wrong password"],
    ["nobody@example.nl", FIRST],
    ["off@example.nl", FIRST],
    ["gone@example.nl", FIRST],
    ["moved@example.nl", FIRST],
    ["new@example.nl", ""],
    ["x@elsewhere.example", FIRST],
    ["not an address", FIRST],
    ["", ""],
  ] as const;
  const answers = [];
  for (const [at, [email, password]] of attempts.entries()) {
    const browser = new Browser(server.url);
    const csrf = field((await browser.get("/owner/")).body, "csrf");
    const form: Array<[string, string]> = [
      ["csrf", csrf],
      ["username", email],
      ["password", password],
    ];
    // From a network of its own, or the failures would delay the later ones.
    const answer = await browser.post("/owner/sign-in", form, { "x-forwarded-for": `192.0.${at}.1` });
    answers.push([answer.status, answer.body.replaceAll(csrf, ""), browser.cookies.has("m25-mail-owner")]);
  }
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect([answers[0]?.[0], answers[0]?.[2]]).toEqual([403, false]);
});

test.each(["BLF-CRYPT", "CRYPT"])(
  "an owner whose {%s} hash was made elsewhere, by PHP or doveadm, signs in",
  async (scheme) => {
    const { server, browser } = await withJan();
    const hash = await bcrypt.hash(SECOND, 5);
    rawDatabase(server.database)
      .prepare("UPDATE users SET password_hash = ?")
      .run(`{${scheme}}${hash.replace(/^\$2b/, () => "$2y")}`);
    expect((await signIn(browser, JAN, FIRST)).status).toBe(403);
    expect((await signIn(browser, JAN, SECOND)).status).toBe(303);
  },
);

test("many wrong passwords delay their network, and another owner gets in at once", async () => {
  const { server, browser } = await withJan({}, { "trusted-proxies": "127.0.0.1" });
  const csrf = field((await browser.get("/owner/")).body, "csrf");
  const attempt = (password: string, from: string) =>
    browser.post(
      "/owner/sign-in",
      [
        ["csrf", csrf],
        ["username", JAN],
        ["password", password],
      ],
      { "x-forwarded-for": from },
    );
  for (let failures = 0; failures < 3; failures += 1)
    expect((await attempt("wrong", "192.0.2.1")).status).toBe(403);
  const refused: number[] = [];
  for (let n = 0; n < 11; n += 1) {
    attempt("wrong", "192.0.2.1").then(
      ({ status }) => refused.push(status),
      () => {}, // the test's end cuts off the waiting ones
    );
  }
  await expect.poll(() => refused).toContain(429);
  expect((await attempt(FIRST, "198.51.100.1")).status).toBe(303);
  expect(server.log.join("\n")).toContain("owner's page: wrong address or password");
});

test.each([
  ["by somebody else's new password", ["update-password", { email: JAN, password: SECOND }]],
  ["by a login that is turned off", ["set-user", { email: JAN, login: "off" }]],
  ["by a removal", ["remove-user", { email: JAN }]],
] as const)("a sign-in is ended %s", async (_what, [endpoint, input]) => {
  const { server, browser } = await withJan();
  await signIn(browser, JAN, FIRST);
  const csrf = field((await browser.get("/owner/")).body, "csrf");
  await server.api(endpoint, input);
  const refused = await browser.post("/owner/app-password", [
    ["csrf", csrf],
    ["name", "Phone"],
  ]);
  expect(refused.status).toBe(403);
  expect(await isSignedIn(browser)).toBe(false);
});

test("a sign-in ends after ten minutes without a request, after an hour, by signing out, and on a fourth browser", async () => {
  let now = Date.now();
  const { server, browser } = await withJan({ now: () => new Date(now) });
  await signIn(browser, JAN, FIRST);
  for (let minutes = 0; minutes < 54; minutes += 9) {
    now += 9 * 60_000;
    expect(await isSignedIn(browser)).toBe(true);
  }
  now += 9 * 60_000;
  expect(await isSignedIn(browser)).toBe(false);
  await signIn(browser, JAN, FIRST);
  now += 11 * 60_000;
  expect(await isSignedIn(browser)).toBe(false);
  await signIn(browser, JAN, FIRST);
  expect((await send(browser, "sign-out", {})).status).toBe(303);
  expect(await isSignedIn(browser)).toBe(false);
  const browsers = Array.from({ length: 4 }, () => new Browser(server.url));
  for (const each of browsers) await signIn(each, JAN, FIRST);
  const signedIn = [];
  for (const each of browsers) signedIn.push(await isSignedIn(each));
  expect(signedIn).toEqual([false, true, true, true]);
});

test("a new password needs the present one, twice the same, and the usual strength", async () => {
  const { browser } = await withJan();
  await signIn(browser, JAN, FIRST);
  expect((await change(browser, "not it", SECOND)).status).toBe(403);
  expect((await change(browser, FIRST, SECOND, `${SECOND}s`)).status).toBe(400);
  for (const weak of ["short", "password123", JAN, "x".repeat(73)]) {
    const { status, body } = await change(browser, FIRST, weak);
    expect([status, /role="alert"/.test(body)]).toEqual([400, true]);
  }
  expect((await change(browser, FIRST, SECOND)).status).toBe(200);
});

test("a name that is bad, and one that is taken, are refused in words", async () => {
  const { browser } = await withJan();
  await signIn(browser, JAN, FIRST);
  await makeAppPassword(browser, "Phone");
  for (const name of ["", "Phone", "x".repeat(65), "a\u202eb"]) {
    const { status, body } = await send(browser, "app-password", { name });
    expect([status, body.includes("This name cannot be taken")]).toEqual([400, true]);
  }
});

test("no answer can be framed, run a script, load anything, or be kept, and no other site's form counts", async () => {
  const { server, browser } = await withJan({}, { "allowed-hosts": "mail.lan" });
  const strange = await browser.post("/owner/sign-in", [["csrf", "x"]]);
  await signIn(browser, JAN, FIRST);
  const { body } = await browser.get("/owner/");
  const form: Array<[string, string]> = [
    ["csrf", field(body, "csrf")],
    ["name", "Phone"],
  ];
  const plain = await http(`${server.url}/owner/`, { headers: { ...HTML, host: "mail.lan" } });
  const answers = [
    strange,
    await new Browser(server.url).get("/owner/"),
    await browser.get("/owner/"),
    await browser.post("/owner/app-password", form, { "sec-fetch-site": "cross-site" }),
    await browser.post("/owner/app-password", form, { origin: "https://evil.example" }),
    await new Browser(server.url).post("/owner/app-password", form),
    await http(`${server.url}/owner/sign-in`, { method: "POST", headers: FORM, body: "x".repeat(5000) }),
    await http(`${server.url}/owner/sign-in`, { method: "POST", headers: FORM, body: "username=%ff" }),
    plain,
    await browser.post("/owner/app-password", form),
  ];
  expect(answers.map(({ status }) => status)).toEqual([403, 200, 200, 403, 403, 403, 413, 400, 403, 200]);
  for (const { headers, body: page } of answers.filter((_, at) => at !== 4)) {
    expect(headers).toMatchObject({ "x-frame-options": "DENY", "cache-control": "no-store" });
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(page).not.toMatch(/<script|\son\w+=/);
  }
  expect([plain.body.includes("not encrypted"), plain.body.includes("<form")]).toEqual([true, false]);
  for (const cookie of browser.set) expect(cookie).toMatch(/; Path=\/; HttpOnly; SameSite=Strict/);
});

test("the page's address works without its slash, and a form's address leads to the page", async () => {
  const { browser } = await withJan();
  for (const path of ["/owner", "/owner/sign-in", "/owner/password"]) {
    const { status, url } = await browser.get(path);
    expect([status, new URL(url).pathname]).toEqual([200, "/owner/"]);
  }
});

test.each([
  ["the set", { "public-url": "http://localhost:8625" }],
  ["the server's address", { tools: "people" }],
])("without %s there is no such page", async (_what, given) => {
  const server = await startServer(given as Record<string, string>);
  for (const path of ["/owner", "/owner/", "/owner/sign-in"])
    expect((await http(server.url + path, { headers: HTML })).status).toBe(401);
});
