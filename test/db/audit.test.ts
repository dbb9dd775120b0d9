import { expect, test } from "vitest";
import { wholeView } from "../../src/sync/view.ts";
import type { Principal } from "../../tools/principal.ts";
import { rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, testStore } from "../support/store.ts";

const assistant: Principal = { name: "claude", door: "mcp", scopes: new Set(["write"]) };

test("every change says who asked for it, by which door, with what, and which revision it made", async () => {
  const { run, file } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  await run("add-domain", { domain: "Example.NL" }, assistant);
  await run("add-user", { email: "Jan@example.nl", password: PASSWORD, quota_mb: 5 }, assistant);
  const at = "2026-03-01T12:00:00.000Z";
  const who = { at, principal: "claude", door: "mcp" };
  expect(rawDatabase(file).prepare("SELECT * FROM audit_log ORDER BY id").all()).toEqual([
    { id: 1, ...who, tool: "add-domain", arguments: '{"domain":"example.nl"}', revision: 1 },
    { id: 2, ...who, tool: "add-user", arguments: '{"email":"jan@example.nl","quota_mb":5}', revision: 2 },
  ]);
});

test("refused calls and lists leave no trace in the audit log", async () => {
  const { run, file } = testStore();
  await run("list-domains");
  await run("remove-domain", { domain: "example.nl" });
  await run("add-domain", { domain: "example.nl" }, { ...assistant, scopes: new Set() });
  expect(rawDatabase(file).prepare("SELECT count(*) FROM audit_log").pluck().get()).toBe(0);
});

test.each([
  ["add-domain", { domain: "other.nl" }],
  ["remove-domain", { domain: "empty.nl" }],
  ["add-user", { email: "kees@example.nl", password: PASSWORD }],
  ["remove-user", { email: "jan@example.nl" }],
  ["remove-user", { email: "jan@example.nl", hard_delete: true }],
  ["update-password", { email: "jan@example.nl", password: "another password" }],
  ["set-quota", { email: "jan@example.nl", quota_mb: 7 }],
  ["restore-user", { email: "piet@example.nl" }],
  ["add-node", { name: "new-node" }],
  ["remove-node", { name: "node" }],
  ["create-token", { name: "new-token" }],
  ["revoke-token", { name: "token" }],
])("%s does not happen when its audit entry cannot be written", async (endpoint, input) => {
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
  const poll = store.polls.now().state(wholeView);
  database.exec(
    "CREATE TRIGGER no_audit BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'secret internals'); END",
  );

  const outcome = await run(endpoint, input);

  expect(outcome).toMatchObject({ ok: false, error: { code: "internal" } });
  expect(JSON.stringify(outcome)).not.toContain("secret internals");
  expect(bugs).toHaveLength(1);
  expect(everything()).toEqual(before);
  expect(store.polls.now().state(wholeView)).toEqual(poll);
  expect(recount(database).digest).toBe(poll.digest);

  database.exec("DROP TRIGGER no_audit");
  expect((await run(endpoint, input)).ok).toBe(true);
});
