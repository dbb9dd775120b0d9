import { readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type Database from "better-sqlite3";
import { expect, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { m25mail, startM25mail } from "../support/program.ts";
import { kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { fakeHash, PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

const USERS = 20_000;

const count = (database: Database.Database, rows: string) =>
  database.prepare<[], number>(`SELECT count(*) FROM ${rows}`).pluck().get() ?? 0;
const users = (database: Database.Database) => count(database, "users");
const history = (database: Database.Database) =>
  database.prepare<[], string>("SELECT history FROM state").pluck().get();
const besides = (file: string) => readdirSync(dirname(file)).filter((name) => name.includes("restore"));

/** A database in which a domain was removed and others were added after its backup. */
async function world() {
  const file = join(temporaryFolder(), "m25-mail.db");
  await seedDatabase(file, {
    users: USERS,
    domains: 20,
    passwordHash: fakeHash(PASSWORD),
    at: "2026-03-01T12:00:00.000Z",
  });
  const database = rawDatabase(file);
  const inBackup = kept(database);
  const backup = join(temporaryFolder(), "backup");
  await backUp(file, backup);
  const store = openStore(file, { create: false });
  await testRuntime(store).must("add-domain", { domain: "mistake.nl" });
  await store.close();
  return { file, backup, database, inBackup, before: kept(database), first: history(database) };
}

type World = Awaited<ReturnType<typeof world>>;

/** Restores the backup, and kills it where a trigger holds it inside a transaction. */
async function killedAt({ backup, database, file }: World, event: string): Promise<void> {
  // A statement without end.
  database.exec(`CREATE TRIGGER hold ${event} BEGIN
    SELECT count(*) FROM (WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers) SELECT n FROM numbers);
  END`);
  database.pragma("busy_timeout = 0");
  const restoring = startM25mail(["restore", backup, "--yes", "--db", file]);
  let busyFor = 0;
  await expect
    .poll(
      () => {
        busyFor = isLocked(database) ? busyFor + 1 : 0;
        return busyFor;
      },
      { interval: 100 },
    )
    .toBeGreaterThan(10);
  restoring.child.kill("SIGKILL");
  await restoring.finished;
  database.exec("DROP TRIGGER hold");
}

/** Whether another process is in a write transaction. */
function isLocked(database: Database.Database): boolean {
  try {
    database.exec("BEGIN IMMEDIATE; ROLLBACK");
    return false;
  } catch {
    return true;
  }
}

const staged = (part: number) => `AFTER INSERT ON users WHEN NEW.id > ${(1 + part) * USERS}`;

test.each([
  ["stages domains", "AFTER INSERT ON domains WHEN NEW.name LIKE 'restored %5'", false],
  ["has staged some mailboxes", staged(0.1), false],
  ["has staged half of the mailboxes", staged(0.5), false],
  ["has staged nearly all mailboxes", staged(0.99), false],
  ["begins to change over", "BEFORE UPDATE ON domains WHEN OLD.erase_after IS NULL", false],
  ["is about to have changed over", "AFTER INSERT ON audit_log", false],
  ["has changed over", "BEFORE DELETE ON users", true],
  ["has erased half of the former mailboxes", `BEFORE DELETE ON users WHEN OLD.id = ${USERS / 2}`, true],
])("a restore killed when it %s leaves the whole old state or the whole new one", async (_, event, isNew) => {
  const all = await world();
  const { file, database, inBackup, before, first } = all;
  await killedAt(all, event);
  expect(history(database) !== first).toBe(isNew);
  expect(kept(database)).toEqual(isNew ? inBackup : before);
  expect(kept(database)).toEqual(recount(database));
  expect(database.pragma("integrity_check", { simple: true })).toBe("ok");

  // A backup of it has the served state and no more.
  const copy = join(temporaryFolder(), "copy");
  await backUp(file, copy);
  const elsewhere = join(temporaryFolder(), "m25-mail.db");
  await openStore(elsewhere, { create: true }).close();
  expect((await m25mail(["restore", copy, "--yes", "--db", elsewhere])).code).toBe(0);
  const found = rawDatabase(elsewhere);
  expect(kept(found)).toEqual(kept(database));
  expect([count(found, "domains"), users(found)]).toEqual([Object.keys(kept(database).each).length, USERS]);

  // The rest is erased within an hour, without another restore.
  const store = openStore(file, { create: false });
  expect([...(await servedState(store)).domains.keys()].sort()).toEqual(Object.keys(kept(database).each));
  database.exec("UPDATE domains SET erase_after = '2026-01-01T00:00:00.000Z' WHERE erase_after > ''");
  await store.eraseHidden();
  await store.close();
  expect(users(database)).toBe(USERS);
  expect(count(database, "domains WHERE erase_after IS NOT NULL")).toBe(0);
});

test("the next restore removes what a killed one left in the database and beside it", async () => {
  const all = await world();
  const { file, backup, database, inBackup } = all;
  for (let time = 0; time < 2; time += 1) {
    await killedAt(all, staged(0.9));
    writeFileSync(`${file}.before-20260301T120000000Z.0123456789abcdef.tmp`, "a copy that was cut off");
    expect(besides(file).length).toBeGreaterThan(1);
    expect(users(database)).toBeLessThanOrEqual(2 * USERS);
  }
  expect((await m25mail(["restore", backup, "--yes", "--db", file])).code).toBe(0);
  expect(besides(file)).toEqual([]);
  expect(readdirSync(dirname(file)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  expect(kept(database)).toEqual(inBackup);
  expect(kept(database)).toEqual(recount(database));
  expect([users(database), count(database, "domains")]).toEqual([USERS, 20]);
});
