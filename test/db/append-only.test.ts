import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { testStore } from "../support/store.ts";

const DAY = 86_400_000;

/** A database with entries that are 100, 50 and 0 days old, and a second connection to it. */
async function auditedDatabase() {
  let now = Date.now() - 100 * DAY;
  const { must, store, file } = testStore({ now: () => new Date(now) });
  await must("add-domain", { domain: "a.nl" });
  now += 50 * DAY;
  await must("add-domain", { domain: "b.nl" });
  now += 50 * DAY;
  await must("add-domain", { domain: "c.nl" });
  const database = new Database(file);
  onTestFinished(() => void database.close());
  const ids = () => database.prepare("SELECT id FROM audit_log ORDER BY id").pluck().all();
  return { database, ids, store, must };
}

const ROW = "'2026-01-01T00:00:00.000Z', 'nobody', 'cli', 'add-domain', '{}', 1";
const COLUMNS = "(id, at, principal, door, tool, arguments, revision)";

test.each([
  ["an update", "UPDATE audit_log SET principal = 'nobody' WHERE id = 2"],
  ["an update or replace", "UPDATE OR REPLACE audit_log SET id = 1 WHERE id = 2"],
  ["an update or ignore", "UPDATE OR IGNORE audit_log SET outcome = 'forbidden'"],
  ["a replaced entry", `INSERT OR REPLACE INTO audit_log ${COLUMNS} VALUES (2, ${ROW})`],
  ["a replaced last entry", `REPLACE INTO audit_log ${COLUMNS} VALUES (3, ${ROW})`],
  [
    "an upsert",
    `INSERT INTO audit_log ${COLUMNS} VALUES (2, ${ROW}) ON CONFLICT (id) DO UPDATE SET tool = 'x'`,
  ],
  ["an entry before others", `INSERT INTO audit_log ${COLUMNS} VALUES (0, ${ROW})`],
  ["an entry with a negative id", `INSERT OR REPLACE INTO audit_log ${COLUMNS} VALUES (-1, ${ROW})`],
  ["a removal", "DELETE FROM audit_log WHERE id = 1"],
  ["the removal of everything", "DELETE FROM audit_log"],
])("the database itself refuses %s, whatever the connection has set", async (_what, statement) => {
  const { database } = await auditedDatabase();
  const all = () => database.prepare("SELECT * FROM audit_log ORDER BY id").all();
  const before = all();
  for (const recursive of ["OFF", "ON"]) {
    database.pragma(`recursive_triggers = ${recursive}`);
    expect(() => database.exec(statement)).toThrow("append-only");
    expect(all()).toEqual(before);
  }
});

test("ids keep rising, even after the newest entries were removed", async () => {
  const { database, ids, must } = await auditedDatabase();
  database.exec("UPDATE audit_retention SET days = 1");
  database.exec("DELETE FROM audit_log WHERE id < 3");
  expect(ids()).toEqual([3]);
  expect(() => database.exec(`INSERT INTO audit_log ${COLUMNS} VALUES (2, ${ROW})`)).toThrow("append-only");
  await must("add-domain", { domain: "d.nl" });
  expect(ids()).toEqual([3, 4]);
});

test("entries older than the retention can be removed, younger ones cannot", async () => {
  const { database, ids, store } = await auditedDatabase();
  const forget = () => store.write(({ audit }) => audit.forget(new Date()));
  await forget();
  expect(ids()).toEqual([1, 2, 3]); // without a retention all are kept
  await store.write(({ audit }) => audit.setRetention(70));
  expect(() => database.exec("DELETE FROM audit_log WHERE id < 3")).toThrow("append-only");
  expect(await forget()).toBe(false);
  expect(ids()).toEqual([2, 3]);
});
