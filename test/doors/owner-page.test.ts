import { expect, test } from "vitest";
import { http } from "../support/http.ts";
import { Browser, field } from "../support/oauth.ts";
import { m25mail } from "../support/program.ts";
import { startServer, type TestServer } from "../support/server.ts";

const GOOD = "brown hen in a tall tree";
const HTML = { accept: "text/html" };
const FORM = { ...HTML, "content-type": "application/x-www-form-urlencoded" };

/** A server with one invited person. */
async function invited(flags: Record<string, string> = {}) {
  const server = await startServer({ tools: "people", "public-url": "http://localhost:8625", ...flags });
  await server.api("add-domain", { domain: "example.nl" });
  const { body } = await server.api("invite-user", { email: "jan@example.nl" });
  const path = new URL(String(body.url)).pathname;
  return { server, path, browser: new Browser(server.url), token: path.split("/").at(-1) ?? "" };
}

test("a link to a server without the set of people is a page that says so, not JSON", async () => {
  const { path } = await invited();
  const other = await startServer();
  const answer = await http(`${other.url}${path}`, { headers: HTML });
  expect(answer.status).toBe(404);
  expect(answer.headers["content-type"]).toMatch(/^text\/html/);
  expect(answer.body).toContain("This server takes no password links at present.");
  expect((await http(`${other.url}${path}`, { method: "POST", headers: FORM })).status).toBe(401);
});

const login = async (server: TestServer) =>
  (await server.api("set-user", { email: "jan@example.nl" })).body.login;

async function submit(browser: Browser, path: string, password: string, again = password) {
  const { body } = await browser.get(path);
  return browser.post(path, [
    ["csrf", field(body, "csrf")],
    ["password", password],
    ["again", again],
  ]);
}

test("an owner chooses a password by the link, once, and the audit log names the owner", async () => {
  const { server, path, browser, token } = await invited();
  const shown = await browser.get(path);
  expect(shown.status).toBe(200);
  expect(shown.body).toContain("jan@example.nl");
  expect(await login(server)).toBe("no_password");
  const done = await submit(browser, path, GOOD);
  expect([done.status, done.body]).toEqual([200, expect.stringContaining("Your password is saved")]);
  expect(await login(server)).toBe("on");
  expect((await browser.get(path)).status).toBe(404);
  const { stdout } = await m25mail(["audit", "--json", "--db", server.database]);
  const entries = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(entries).toContainEqual(
    expect.objectContaining({
      principal: "jan@example.nl",
      door: "page",
      tool: "choose-password",
      arguments: { email: "jan@example.nl" },
      outcome: "done",
    }),
  );
  for (const secret of [token, GOOD]) {
    expect(stdout).not.toContain(secret);
    expect(server.log.join("\n")).not.toContain(secret);
  }
});

test("a mail scanner that follows the link, and posts to it, consumes nothing", async () => {
  const { server, path, browser } = await invited();
  for (let times = 0; times < 3; times += 1) expect((await http(server.url + path)).status).toBe(200);
  const posted = await http(server.url + path, { method: "POST", headers: FORM, body: "" });
  expect(posted.status).toBe(403);
  expect((await submit(browser, path, GOOD)).status).toBe(200);
});

test("a password that is too weak or differs in its repetition is refused, and the link still works", async () => {
  const { server, path, browser } = await invited();
  for (const [password, again] of [
    ["short", "short"],
    ["password123", "password123"],
    ["jan@example.nl", "jan@example.nl"],
    [GOOD, `${GOOD}s`],
    ["x".repeat(73), "x".repeat(73)],
  ] as const) {
    const { status, body } = await submit(browser, path, password, again);
    expect(status).toBe(400);
    expect(body).toMatch(/role="alert"/);
    expect(body).not.toContain(password === "jan@example.nl" ? "\0" : password);
  }
  expect(await login(server)).toBe("no_password");
  expect((await submit(browser, path, GOOD)).status).toBe(200);
});

test("a link that is unknown, damaged or not ours shows the same page", async () => {
  const { path, browser } = await invited();
  const flipped = path.slice(0, -1) + (path.endsWith("0") ? "1" : "0");
  const pages = await Promise.all(
    [flipped, path.slice(0, -1), "/password/x", `/password/m25tok_${"0".repeat(16)}_${"0".repeat(64)}`].map(
      (one) => browser.get(one),
    ),
  );
  for (const { status, body } of pages) {
    expect(status).toBe(404);
    expect(body).toBe(pages[0]?.body);
  }
});

test("no answer can be framed, run a script, load anything, be kept, or tell another site where it was", async () => {
  const { server, path, browser } = await invited();
  const answers = [
    await browser.get(path),
    await browser.get("/password/x"),
    await submit(browser, path, "short"),
    await browser.post(path, [["csrf", "x"]]),
    await http(server.url + path, { method: "POST", headers: FORM, body: "x".repeat(5000) }),
    await submit(browser, path, GOOD),
  ];
  expect(answers.map(({ status }) => status)).toEqual([200, 404, 400, 403, 413, 200]);
  for (const { headers, body } of answers) {
    expect(headers).toMatchObject({
      "x-frame-options": "DENY",
      "referrer-policy": "same-origin",
      "cache-control": "no-store",
      vary: "accept-language",
    });
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; style-src 'sha256-/);
    expect(body).not.toMatch(/<script|\son\w+=|<a /);
  }
});

test("another site's form is refused, and so is an unencrypted connection", async () => {
  const { server, path, browser } = await invited({ "allowed-hosts": "mail.lan" });
  const { body } = await browser.get(path);
  const form: Array<[string, string]> = [
    ["csrf", field(body, "csrf")],
    ["password", GOOD],
    ["again", GOOD],
  ];
  expect((await browser.post(path, form, { "sec-fetch-site": "cross-site" })).status).toBe(403);
  expect((await browser.post(path, form, { origin: "https://evil.example" })).status).toBe(403);
  const plain = await http(server.url + path, { headers: { ...HTML, host: "mail.lan" } });
  expect([plain.status, plain.body.includes("not encrypted"), plain.body.includes("<form")]).toEqual([
    403,
    true,
    false,
  ]);
  expect(await login(server)).toBe("no_password");
});

test.each([
  ["nl", "nl"],
  ["nl-BE,en;q=0.5", "nl"],
  ["en-GB,nl;q=0.9", "en"],
  ["en;q=0.2,nl;q=0.8", "nl"],
  ["fr,de;q=0.9", "en"],
  ["nl;q=0", "en"],
  [undefined, "en"],
])("with Accept-Language %s the page is in %s", async (header, language) => {
  const { server, path } = await invited();
  const headers = { ...HTML, ...(header !== undefined && { "accept-language": header }) };
  const { body } = await http(server.url + path, { headers });
  expect(body).toContain(`<html lang="${language}">`);
  expect(body).toContain(language === "nl" ? "Kies uw wachtwoord" : "Choose your password");
});

test("an address that asks too often is refused for a while", async () => {
  const { server, path } = await invited({ "limit-requests": "3" });
  const answers = [];
  for (let times = 0; times < 6; times += 1) answers.push((await http(server.url + path)).status);
  expect(answers).toContain(429);
});

test("the shell makes a link if it knows the server's address", async () => {
  const { server, browser } = await invited();
  const link = (environment: Record<string, string>, ...flags: string[]) =>
    m25mail(
      [
        ...["call", "create-password-link", "--email", "jan@example.nl", "--kind", "first"],
        ...["--json", "--db", server.database, ...flags],
      ],
      { environment },
    );
  const refused = await link({});
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/^no_public_url: /)]);
  const byVariable = JSON.parse((await link({ M25_MAIL_PUBLIC_URL: "http://localhost:8625" })).stdout);
  expect((await browser.get(new URL(byVariable.url).pathname)).status).toBe(200);
  const byFlag = JSON.parse((await link({}, "--public-url", "https://mail.example.nl")).stdout);
  expect(byFlag.url).toMatch(/^https:\/\/mail\.example\.nl\/password\/m25pwl_/);
});
