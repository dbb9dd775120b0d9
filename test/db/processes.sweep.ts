import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { wholeView } from "../../src/sync/view.ts";
import { m25mail } from "../support/program.ts";
import { kept, rawDatabase, recount, textOf } from "../support/recount.ts";
import { PASSWORD, stateOf, temporaryFolder, testRuntime, testStore } from "../support/store.ts";

const WRITER = join(import.meta.dirname, "../support/writer.ts");

async function writer(file: string, prefix: string, count: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [WRITER, file, prefix, String(count)]);
  return stdout.trim().split("\n").map(Number);
}

test("two processes that add 200 mailboxes each to one file lose none", async () => {
  const { must, store, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const revisions = (await Promise.all([writer(file, "a", 200), writer(file, "b", 200)])).flat();

  expect(revisions.sort((one, other) => one - other)).toEqual(
    Array.from({ length: 400 }, (_, index) => index + 2),
  );
  expect(await stateOf(store)).toMatchObject({
    revision: 401,
    counts: { domains: 1, users: 400 },
  });
  const database = rawDatabase(file);
  expect(kept(database)).toEqual(recount(database));
  expect(database.pragma("integrity_check", { simple: true })).toBe("ok");
});

test("a change by one process is visible to another at once", async () => {
  const { must, store, file } = testStore();
  const other = openStore(file, { create: false });
  const elsewhere = testRuntime(other);
  expect((await stateOf(store)).revision).toBe(0);
  await elsewhere.must("add-domain", { domain: "example.nl" });
  expect((await stateOf(store)).revision).toBe(1);
  expect(await must("list-domains")).toMatchObject({ total: 1 });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect(await stateOf(other)).toEqual(await stateOf(store));
  const key = await elsewhere.must("add-node", { name: "node" });
  const keyId = String(key.sync_key).split("_")[1] ?? "";
  const node = async () => (await store.polls.look()).node(keyId);
  expect(await node()).toMatchObject({ name: "node" });
  await elsewhere.must("remove-node", { name: "node" });
  expect(await node()).toBeUndefined();
  await other.close();
});

test("another program that reads the file leaves the changes of a running server in it", async () => {
  const { must, store, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await (await store.readState(wholeView)).close();
  const read = () => promisify(execFile)("sqlite3", [file, "SELECT group_concat(name) FROM domains"]);
  expect((await read()).stdout).toBe("example.nl\n");
  await must("add-domain", { domain: "example.org" });
  expect((await read()).stdout).toBe("example.nl,example.org\n");
});

test("several programs can start at once on a new database", async () => {
  const file = join(temporaryFolder(), "new", "m25-mail.db");
  const all = await Promise.all(Array.from({ length: 4 }, () => m25mail(["stdio", "--db", file])));
  for (const { code, stderr } of all) {
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: expect.stringMatching(/^(\S+ info made a new database .+\n)?$/),
    });
  }
});

test("a write waits for another program's transaction, and lists continue meanwhile", async () => {
  const { must, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const other = new Database(file);
  other.exec("BEGIN IMMEDIATE");
  const written = must("add-domain", { domain: "second.nl" });
  expect(await must("list-domains")).toMatchObject({ total: 1 });
  other.exec("COMMIT");
  other.close();
  expect(await written).toMatchObject({ revision: 2 });
});

test("a database that another program keeps locked is unavailable, and works once it is free", async () => {
  const { run, must, file, bugs } = testStore();
  const other = new Database(file);
  other.exec("BEGIN IMMEDIATE");
  expect(await run("add-domain", { domain: "example.nl" })).toMatchObject({
    ok: false,
    error: { code: "unavailable", message: expect.stringContaining("locked") },
  });
  other.exec("ROLLBACK");
  other.close();
  expect(await must("add-domain", { domain: "example.nl" })).toMatchObject({ revision: 1 });
  expect(bugs).toEqual([]);
});

test("a command can start and read during another program's long transaction", async () => {
  const { must, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const other = new Database(file);
  other.exec("BEGIN IMMEDIATE");
  const listed = await m25mail(["call", "list-domains", "--json", "--db", file]);
  other.exec("ROLLBACK");
  other.close();
  expect(listed).toMatchObject({ code: 0, stderr: "" });
});

test("changes continue while a process reads the whole state for a node, and are not part of it", async () => {
  const { must, store } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const reading = await store.readState(wholeView);
  await must("add-domain", { domain: "second.nl" });
  expect(await textOf(reading)).toBe('{"domain":"example.nl"}\n');
  expect(reading.summary.revision).toBe(1);
});
