import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { wholeView } from "../../src/sync/view.ts";
import { expectRefusal } from "../support/outcome.ts";
import { m25mail, serveProcess } from "../support/program.ts";
import { keepRecount, kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { fakeHash, PASSWORD, stateOf, temporaryFolder, testRuntime, testStore } from "../support/store.ts";

const REMOVED = "domain1.example";
const KEPT = "domain2.example";

/** A database with this many soft-deleted mailboxes in one domain, and as many active ones in another. */
async function withInactive(count: number) {
  const file = join(temporaryFolder(), "m25-mail.db");
  const hashes = { [REMOVED]: fakeHash("of the removed"), [KEPT]: fakeHash(PASSWORD) };
  const at = "2026-03-01T12:00:00.000Z";
  await seedDatabase(file, { users: 2 * count, domains: 2, passwordHash: hashes[KEPT] ?? "", at });
  const database = rawDatabase(file);
  database.prepare("UPDATE users SET active = 0, password_hash = ? WHERE domain_id = 1").run(hashes[REMOVED]);
  keepRecount(database);
  return { file, database, hash: hashes[REMOVED] ?? "" };
}

const rows = (database: Database.Database) =>
  database.prepare<[], number>("SELECT count(*) FROM users").pluck().get() ?? 0;

test("a removed domain with many soft-deleted mailboxes is gone at once for everybody, and they never return", async () => {
  const count = 1200;
  const { file, database } = await withInactive(count);
  const store = openStore(file, { create: false });
  onTestFinished(() => store.close());
  const { must, bugs } = testRuntime(store);
  const { revision } = await stateOf(store);
  expect(await must("remove-domain", { domain: REMOVED })).toMatchObject({ removed_inactive_users: count });

  const everywhere = async () => {
    expect(await must("list-domains")).toMatchObject({ total: 1, domains: [{ domain: KEPT }] });
    expect(await must("list-users", { limit: 1 })).toMatchObject({ total: count });
    expect(await must("list-users", { search: "user", limit: 1 })).toMatchObject({ total: count });
    const { users } = await must("list-users", { search: "user0001" });
    expect(users).toHaveLength(1);
    expect([...(await servedState(store)).domains.keys()]).toEqual([KEPT]);
    const changes = await (await store.polls.look()).changes(wholeView, revision, 10);
    expect(changes?.lines).toContain(`{"domain":"${REMOVED}","removed":true}\n`);
    expect(changes?.lines.join("")).not.toContain("hidden");
    expect(kept(database)).toEqual(recount(database));
  };
  expect(rows(database)).toBe(2 * count);
  await everywhere();

  await must("add-domain", { domain: REMOVED });
  const email = `user0001@${REMOVED}`;
  expect(await must("add-user", { email, password: PASSWORD })).toMatchObject({ reactivated: false });
  await must("remove-user", { email });
  await must("remove-domain", { domain: REMOVED });
  await everywhere();

  await store.eraseHidden();
  expect(rows(database)).toBe(count);
  await everywhere();
  expect(database.prepare("SELECT name FROM domains").pluck().all()).toEqual([KEPT]);
  expect(database.pragma("foreign_key_check")).toEqual([]);
  expect(bugs).toEqual([]);
});

test("a server killed while it erases a removed domain's mailboxes continues when it starts again", async () => {
  const count = 20_000; // so many that the first look at the rows comes before the end
  const { file, database } = await withInactive(count);
  const token = (await m25mail(["token", "create", "t", "--db", file])).stdout.trim();
  const call = async (url: string, endpoint: string, body: unknown) =>
    fetch(`${url}/api/${endpoint}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const first = await serveProcess(file);
  expect((await call(first.url, "remove-domain", { domain: REMOVED })).status).toBe(200);
  await expect.poll(() => rows(database), { interval: 1 }).toBeLessThan(2 * count);
  first.child.kill("SIGKILL");
  await first.finished;
  expect(rows(database)).toBeGreaterThan(count);

  const second = await serveProcess(file);
  expect((await call(second.url, "add-domain", { domain: REMOVED })).status).toBe(200);
  await expect.poll(() => rows(database)).toBe(count);
  expect(kept(database)).toEqual(recount(database));
});

test("without a server, the command that removes a domain ends once no byte of its hashes is left", async () => {
  const { file, database, hash } = await withInactive(2000);
  database.close();
  expect(readFileSync(file).includes(hash)).toBe(true);
  const { code, stderr } = await m25mail(["call", "remove-domain", "--domain", REMOVED, "--db", file]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  for (const path of [file, `${file}-wal`]) {
    expect(existsSync(path) && readFileSync(path).includes(hash)).toBe(false);
  }
});

test("rows that a restore is still copying count nowhere, and no change of a mailbox reaches them", async () => {
  const { must, run, file } = testStore();
  for (const domain of ["a.nl", "old.nl"]) await must("add-domain", { domain });
  for (const email of ["jan@a.nl", "piet@old.nl"]) await must("add-user", { email, password: PASSWORD });
  await must("set-alias", { address: "one@a.nl", targets: ["jan@a.nl"] });
  for (let number = 0; number < 100; number += 1)
    await must("set-alias", { address: `x${number}@old.nl`, targets: ["one@a.nl"] });
  await must("set-alias", { address: "info@old.nl", targets: ["jan@a.nl"] });
  const more = { address: "more@a.nl", targets: ["one@a.nl"] };
  expectRefusal(await run("set-alias", more), "invalid_input");

  const database = rawDatabase(file);
  database.exec("UPDATE domains SET name = 'restored 1', erase_after = '9999' WHERE name = 'old.nl'");
  const staged = () =>
    database
      .prepare(
        "SELECT alias_id, target.* FROM alias_targets AS target JOIN aliases ON aliases.id = alias_id JOIN domains ON domains.id = domain_id WHERE erase_after = '9999'",
      )
      .all();
  const before = staged();
  await must("set-alias", more);
  expect(await must("rename-user", { email: "jan@a.nl", new_email: "smit@a.nl" })).toMatchObject({
    aliases: ["one@a.nl"],
  });
  expect(staged()).toEqual(before);
  const wanted = { file: "f", mailbox_count: 0, domains: ["a.nl"], mailboxes_with_passwords: [] };
  const { domains, mailboxes } = await must("apply", { ...wanted, prune: true });
  expect([domains, mailboxes]).toMatchObject([[{ name: "a.nl" }], [{ name: "smit@a.nl" }]]);
});
