import { expect, test } from "vitest";
import { MailError } from "../../src/mail/error.ts";
import type { Principal } from "../../tools/call/principal.ts";
import { rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, stateOf, type TestStore, testStore } from "../support/store.ts";

const assistant: Principal = { name: "claude", door: "mcp", scopes: new Set(["write"]) };

test("every change is recorded with its principal, door, input and revision", async () => {
  const { run, file } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  await run("add-domain", { domain: "Example.NL" }, assistant);
  await run("add-user", { email: "Jan@example.nl", password: PASSWORD, quota_mb: 5 }, assistant);
  const at = "2026-03-01T12:00:00.000Z";
  const done = { client: null, address: null, request: null, outcome: "done" };
  const who = { at, principal: "claude", door: "mcp" };
  expect(rawDatabase(file).prepare("SELECT * FROM audit_log ORDER BY id").all()).toEqual([
    { id: 1, ...who, tool: "add-domain", arguments: '{"domain":"example.nl"}', revision: 1, ...done },
    {
      id: 2,
      ...who,
      tool: "add-user",
      arguments: '{"email":"jan@example.nl","quota_mb":5}',
      revision: 2,
      ...done,
    },
  ]);
});

const entries = async (must: TestStore["must"], input = {}) =>
  (await must("read-audit", input)).entries as Array<Record<string, unknown>>;

test("a refused call is recorded with its reason, and a served list is not recorded", async () => {
  const { run, must } = testStore();
  await must("list-domains");
  await run("remove-domain", { domain: "Example.nl" }, assistant);
  await run("remove-user", { email: "jan@example.nl", hard_delete: true }, assistant);
  await run("list-users", { domain: "example.nl" }, { ...assistant, scopes: new Set() });
  expect(await entries(must)).toMatchObject([
    { principal: "claude", tool: "remove-domain", outcome: "forbidden", arguments: { domain: "example.nl" } },
    { tool: "remove-user", outcome: "forbidden", arguments: { email: "jan@example.nl", hard_delete: true } },
    { tool: "list-users", outcome: "forbidden", arguments: { domain: "example.nl" } },
  ]);
});

test("a refused input is recorded with its valid and non-secret fields only", async () => {
  const { run, must } = testStore();
  const secret = "Hunter2!Hunter2";
  await run("add-user", { email: "jan@example.nl", password: "short" });
  await run("add-user", { email: secret, password: "jan@example.nl", quota_mb: 7 });
  await run("add-user", { email: "jan@example.nl", password: secret, [secret]: secret });
  await run("list-users", { cursor: secret });
  await run("add-user", secret);
  await run("add-user", [secret]);
  await run("add-user", { email: "kees@example.nl", password: secret });
  const found = await entries(must);
  expect(found.map((entry) => [entry.outcome, entry.arguments])).toEqual([
    ["invalid_input", { email: "jan@example.nl" }],
    ["invalid_input", { quota_mb: 7 }],
    ["invalid_input", { email: "jan@example.nl" }],
    ["invalid_input", {}],
    ["invalid_input", {}],
    ["invalid_input", {}],
    ["domain_not_found", { email: "kees@example.nl" }],
  ]);
});

test("a principal that is refused in a loop gets two hundred entries an hour, and others get theirs", async () => {
  let now = Date.parse("2026-03-01T12:00:00Z");
  const { run, must } = testStore({ now: () => new Date(now) });
  for (let n = 0; n < 210; n += 1) await run("remove-domain", { domain: "none.nl" });
  await run("remove-domain", { domain: "none.nl" }, assistant);
  await must("add-domain", { domain: "example.nl" });
  const count = async () => (await entries(must, { limit: 1000 })).length;
  expect(await count()).toBe(202);
  now += 3_600_000;
  await run("remove-domain", { domain: "none.nl" });
  expect(await count()).toBe(203);
});

test("a call over a rate limit leaves no entry, which would cost what the limit saves", async () => {
  const { runtime, run, must } = testStore();
  runtime.hashPassword = async () => {
    throw new MailError("busy", "Too many passwords are being set at once.", "Wait a few seconds.");
  };
  expect(await run("add-user", { email: "jan@example.nl", password: PASSWORD })).toMatchObject({ ok: false });
  expect(await entries(must)).toEqual([]);
});

test("a refusal is shown even if it cannot be recorded", async () => {
  const { run, file, bugs } = testStore();
  rawDatabase(file).exec(
    "CREATE TRIGGER no_audit BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'secret internals'); END",
  );
  const outcome = await run("remove-domain", { domain: "example.nl" });
  expect(outcome).toMatchObject({ ok: false, error: { code: "domain_not_found" } });
  expect(bugs).toHaveLength(1);
});

test("old entries are deleted a thousand at a time, and none that is young enough", async () => {
  const { store, must, file } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  await must("add-domain", { domain: "example.nl" });
  rawDatabase(
    file,
  ).exec(`WITH RECURSIVE number(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < 2500)
    INSERT INTO audit_log (at, principal, door, tool, arguments, outcome, revision)
    SELECT '2026-01-01T12:00:00.000Z', 'claude', 'mcp', 'add-user', '{}', 'done', 1 FROM number`);
  const forget = () => store.write(({ audit }) => audit.forget(new Date("2026-03-01T12:00:00Z")));
  expect(await forget()).toBe(false);
  await store.write(({ audit }) => audit.setRetention(30));
  const left = () => rawDatabase(file).prepare("SELECT count(*) FROM audit_log").pluck().get();
  const seen = [];
  for (let more = true; more; seen.push(left())) more = await forget();
  expect(seen).toEqual([1501, 501, 1]);
  expect(await entries(must)).toMatchObject([{ tool: "add-domain" }]);
});

test("entries about a domain stay after the domain is removed", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await must("remove-user", { email: "jan@example.nl", hard_delete: true });
  await must("remove-domain", { domain: "example.nl" });
  expect((await entries(must)).map(({ tool }) => tool)).toEqual([
    "add-domain",
    "add-user",
    "remove-user",
    "remove-domain",
  ]);
});

test.each([
  ["add-domain", { domain: "other.nl" }],
  ["remove-domain", { domain: "empty.nl" }],
  ["add-user", { email: "kees@example.nl", password: PASSWORD }],
  ["remove-user", { email: "jan@example.nl" }],
  ["remove-user", { email: "jan@example.nl", hard_delete: true }],
  ["update-password", { email: "jan@example.nl", password: "another password" }],
  ["set-user", { email: "jan@example.nl", quota_mb: 7 }],
  ["restore-user", { email: "piet@example.nl" }],
  ["rename-user", { email: "jan@example.nl", new_email: "kees@empty.nl" }],
  ["add-node", { name: "new-node" }],
  ["remove-node", { name: "node" }],
  ["create-token", { name: "new-token" }],
  ["revoke-token", { name: "token" }],
])("%s does not happen if its audit entry cannot be written", async (endpoint, input) => {
  const { must, run, store, file, bugs } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-domain", { domain: "empty.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await must("add-user", { email: "piet@example.nl", password: PASSWORD });
  await must("remove-user", { email: "piet@example.nl" });
  await must("add-node", { name: "node" });
  await must("create-token", { name: "token" });
  const database = rawDatabase(file);
  const everything = () =>
    ["domains", "users", "state", "removals", "nodes", "tokens", "audit_log"].map((table) =>
      database.prepare(`SELECT * FROM ${table}`).all(),
    );
  const before = everything();
  const poll = await stateOf(store);
  database.exec(
    "CREATE TRIGGER no_audit BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'secret internals'); END",
  );

  const outcome = await run(endpoint, input);

  expect(outcome).toMatchObject({ ok: false, error: { code: "internal" } });
  expect(JSON.stringify(outcome)).not.toContain("secret internals");
  expect(bugs).toHaveLength(2); // for the change and for its refusal
  expect(everything()).toEqual(before);
  expect(await stateOf(store)).toEqual(poll);
  expect(recount(database).digest).toBe(poll.digest);

  database.exec("DROP TRIGGER no_audit");
  expect((await run(endpoint, input)).ok).toBe(true);
});
