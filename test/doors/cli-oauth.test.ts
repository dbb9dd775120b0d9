import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { passwordMatches } from "../../tools/call/password-hash.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { temporaryFolder } from "../support/store.ts";

async function emptyDatabase(): Promise<string> {
  const database = join(temporaryFolder(), "m25-mail.db");
  await openStore(database, { create: true }).close();
  return database;
}

async function storedHash(database: string): Promise<string | undefined> {
  const store = openStore(database, { create: false });
  const hash = await store.read((tables) => tables.operator.passwordHash());
  await store.close();
  return hash;
}

test("operator set-password reads a line or a file, stores a hash and prints no password", async () => {
  const database = await emptyDatabase();
  const file = join(temporaryFolder(), "password");
  writeFileSync(file, "another good password\n");
  for (const [args, input, password] of [
    [[], "a good long password\n", "a good long password"],
    [["--password-file", file], "", "another good password"],
  ] as const) {
    const { code, stdout, stderr } = await m25mail(["operator", "set-password", "--db", database, ...args], {
      input,
    });
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^changed_at: \d{4}-.*\ngrants: 0\n$/);
    expect(stdout).not.toContain(password);
    const hash = await storedHash(database);
    expect(await passwordMatches(password, hash, 10)).toBe(true);
    expect(await passwordMatches(`${password}.`, hash, 10)).toBe(false);
  }
});

test("an operator's password must be longer than a mailbox's", async () => {
  const database = await emptyDatabase();
  const { code, stderr } = await m25mail(["operator", "set-password", "--db", database], {
    input: "elevenchars\n",
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/shorter than 12 characters.*Choose 12 characters/s);
  expect(stderr).not.toContain("elevenchars");
  expect(await storedHash(database)).toBeUndefined();
});

test("clients are registered, listed and removed by name", async () => {
  const database = await emptyDatabase();
  const oauth = (...args: string[]) => m25mail(["oauth", ...args, "--db", database]);
  const uris = "http://localhost:8787/callback,https://www.cursor.com/agents/mcp/oauth/callback";
  expect(await oauth("client", "add", "cursor", "--redirect-uri", uris)).toMatchObject({
    code: 0,
    stdout: "cursor\n",
  });
  expect(await oauth("client", "add", "cursor", "--redirect-uri", uris)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("client_exists"),
  });
  const { stdout } = await oauth("client", "list", "--json");
  expect(JSON.parse(stdout)).toEqual({ clients: [{ client_id: "cursor", redirect_uris: uris.split(",") }] });
  expect(await oauth("client", "remove", "cursor")).toMatchObject({ code: 0 });
  expect(await oauth("client", "remove", "cursor")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("client_not_found"),
  });
});

test.each([
  "http://evil.example/back",
  "javascript:alert(1)",
  "data:text/html,x",
  "file:///etc/passwd",
  "https://user:password@client.example/back",
  "https://client.example/back#x",
  "not an address",
])("a client is not registered with %s as its redirect address", async (uri) => {
  const database = await emptyDatabase();
  const { code, stderr } = await m25mail([
    "oauth",
    "client",
    "add",
    "x",
    "--redirect-uri",
    uri,
    "--db",
    database,
  ]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^invalid_input: --redirect-uri, number 1: .*https:/);
});

test.each([
  [["operator"], "operator needs one of: set-password"],
  [["oauth"], "oauth needs one of: client add"],
  [["oauth", "client"], "oauth needs one of: client add"],
  [["oauth", "client", "add", "x"], "--redirect-uri is missing"],
  [["oauth", "grants", "revoke"], "ID is missing"],
])("m25-mail %j says what is missing", async (args, words) => {
  const { code, stderr } = await m25mail(args);
  expect(code).toBe(2);
  expect(stderr).toContain(words);
});

test("serve --oauth reads its settings from flags and from the environment", async () => {
  const database = await emptyDatabase();
  const { url } = await serveProcess(database, ["--oauth", "--public-url", "https://mail.example.nl"]);
  const metadata = await fetch(`${url}/.well-known/oauth-authorization-server`);
  expect(await metadata.json()).toMatchObject({ issuer: "https://mail.example.nl" });
  const { code, stderr } = await m25mail(["serve", "--db", database], {
    environment: { M25_MAIL_OAUTH: "perhaps" },
  });
  expect([code, stderr]).toEqual([2, expect.stringContaining("--oauth is neither true nor false")]);
});
