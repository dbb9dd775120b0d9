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

test.each<[step: string, reached: (world: World) => boolean]>([
  ["it copies the backup", ({ file }) => besides(file).some((name) => /[0-9a-f]{16}$/.test(name))],
  [
    "it copies the former content",
    ({ file }) => readdirSync(dirname(file)).some((name) => /\.before-\w+\..*\.tmp$/.test(name)),
  ],
  ["it stages domains", ({ database }) => count(database, "domains WHERE name LIKE 'restored %'") > 0],
  ["it has staged some mailboxes", ({ database }) => users(database) > USERS],
  ["it has staged half of the mailboxes", ({ database }) => users(database) > 1.5 * USERS],
  ["it is about to change over", ({ database }) => users(database) > 1.99 * USERS],
  ["it has changed over", ({ database, first }) => history(database) !== first],
  [
    "it has erased half of the former mailboxes",
    ({ database, first }) => history(database) !== first && users(database) < 1.5 * USERS,
  ],
])("a restore killed when %s leaves the whole old state or the whole new one", async (_, reached) => {
  const all = await world();
  const { file, backup, database, inBackup, before, first } = all;
  const restoring = startM25mail(["restore", backup, "--yes", "--db", file]);
  await expect.poll(() => reached(all), { interval: 1 }).toBe(true);
  restoring.child.kill("SIGKILL");
  await restoring.finished;
  const isNew = history(database) !== first;
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
  const { file, backup, database, inBackup } = await world();
  for (let time = 0; time < 2; time += 1) {
    const restoring = startM25mail(["restore", backup, "--yes", "--db", file]);
    await expect.poll(() => users(database) > 1.5 * USERS, { interval: 1 }).toBe(true);
    restoring.child.kill("SIGKILL");
    await restoring.finished;
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
