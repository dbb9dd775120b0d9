import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { expect, onTestFinished, test, vi } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, stateOf, temporaryFolder, testRuntime, testStore } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

test("nodes follow a restored backup of a running server without human help", async () => {
  const server = await startServer();
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "example.nl" });
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const node = new SyncingNode(
    server.url,
    String((await server.api("add-node", { name: "pi" })).body.sync_key),
  );
  await node.poll();
  const wanted = node.state;
  const file = join(temporaryFolder(), "backup");
  await backUp(server.database, file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await shell.must("remove-user", { email: "jan@example.nl", hard_delete: true });
  await shell.must("add-domain", { domain: "mistake.nl" });
  await node.poll();

  await restore(server.database, file);
  expect((await node.poll()).kind).toBe("snapshot");
  expect(node.state?.history).not.toBe(wanted?.history);
  expect([node.state?.users, node.state?.digest]).toEqual([wanted?.users, wanted?.digest]);
  expect((await node.poll()).status).toBe(304);
  await shell.must("add-user", { email: "anna@example.nl", password: PASSWORD });
  expect((await node.poll()).kind).toBe("delta");
});

test("a node that has seen more notices an older copy that somebody put back by hand", async () => {
  const first = testStore();
  await first.must("add-domain", { domain: "example.nl" });
  const copy = join(temporaryFolder(), "m25-mail.db");
  await backUp(first.file, copy);
  await first.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await first.must("add-node", { name: "unused" });

  // The node follows a server on the original file, then one on the copy.
  const before = await startServer({ db: first.file });
  const key = String((await before.api("add-node", { name: "pi" })).body.sync_key);
  const node = new SyncingNode(before.url, key);
  await node.poll();
  const { history } = await stateOf(before.store);
  await before.close();

  const after = await startServer({ db: copy });
  expect((await stateOf(after.store)).history).toBe(history);
  node.key = String((await after.api("add-node", { name: "pi" })).body.sync_key);
  const follower = new SyncingNode(after.url, node.key);
  follower.state = node.state;
  expect((await follower.poll()).kind).toBe("snapshot");
  expect(follower.state?.history).not.toBe(history);
  expect(follower.state?.users.size).toBe(0);
  await testRuntime(after.store).must("add-user", { email: "anna@example.nl", password: PASSWORD });
  expect((await follower.poll()).kind).toBe("delta");
});

test("a new history forgets earlier revisions in time, but not the one that it began at", async () => {
  const { file, store, runtime, must } = testStore();
  runtime.now = () => new Date("2026-01-01T12:00:00Z");
  for (const domain of ["a.nl", "b.nl", "c.nl"]) await must("add-domain", { domain });
  await store.write(({ state }) => state.startHistory("2026-03-01T12:00:00.000Z"));
  runtime.now = () => new Date("2026-03-02T12:00:00Z");
  await must("add-domain", { domain: "d.nl" });
  await store.write(({ state }) => state.forgetBefore("2026-02-01T12:00:00.000Z"));
  const left = rawDatabase(file).prepare("SELECT revision FROM revisions ORDER BY revision").pluck();
  expect(left.all()).toEqual([3, 4]);
});

test("a node also notices an older copy that has changed since", async () => {
  const first = testStore();
  await first.must("add-domain", { domain: "example.nl" });
  const copy = join(temporaryFolder(), "m25-mail.db");
  await backUp(first.file, copy);
  await first.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const before = await startServer({ db: first.file });
  const node = new SyncingNode(
    before.url,
    String((await before.api("add-node", { name: "pi" })).body.sync_key),
  );
  await node.poll();
  await before.close();

  const after = await startServer({ db: copy });
  for (const name of ["x", "y", "z"]) {
    await testRuntime(after.store).must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
  }
  const follower = new SyncingNode(
    after.url,
    String((await after.api("add-node", { name: "pi" })).body.sync_key),
  );
  follower.state = node.state;
  expect((await follower.poll()).kind).toBe("snapshot");
  expect([...(follower.state?.users.keys() ?? [])].sort()).toEqual([
    "x@example.nl",
    "y@example.nl",
    "z@example.nl",
  ]);
});

test("a backup ends although others keep writing", async () => {
  const { file, must, store } = testStore();
  await must("add-domain", { domain: "example.nl" });
  let writing = true;
  const storm = (async () => {
    while (writing) {
      await store.write(({ state }) => state.forgetBefore("1970-01-01T00:00:00.000Z"));
      await must("add-node", { name: `node-${Math.random().toString(36).slice(2)}` });
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const copy = join(temporaryFolder(), "backup");
  await backUp(file, copy);
  writing = false;
  await storm;
  const restored = testStore();
  await restore(restored.file, copy);
  expect(await restored.must("list-domains")).toMatchObject({ total: 1 });
});

test("a backup overwrites an older backup, and says so", async () => {
  const { file, must } = testStore();
  const copy = join(temporaryFolder(), "backup");
  expect(await backUp(file, copy)).toBe(false);
  await must("add-domain", { domain: "example.nl" });
  const again = await m25mail(["backup", copy, "--db", file]);
  const words = `${file} is copied to ${copy}, in place of the older backup there\n`;
  expect(again).toEqual({ code: 0, stdout: words, stderr: "" });
  const { stdout } = await m25mail(["backup", copy, "--db", file, "--json"]);
  expect(JSON.parse(stdout)).toEqual({ database: file, file: copy, replaced: true });
  const restored = testStore();
  await restore(restored.file, copy);
  expect(await restored.must("list-domains")).toMatchObject({ total: 1 });
});

test.each([
  ["a text", () => writtenFile("my only notes")],
  ["an empty file", () => writtenFile("")],
  ["another program's database", () => otherDatabase()],
  ["our database in use", () => databaseInUse()],
  ["a link to our database in use", async () => linkTo(await databaseInUse())],
  ["a folder", () => temporaryFolder()],
])("a backup does not overwrite %s", async (_what, existing) => {
  const { file } = testStore();
  const path = await existing();
  const before = statSync(path).isFile() ? readFileSync(path) : undefined;
  await expect(backUp(file, path)).rejects.toMatchObject({ code: "invalid_input" });
  expect(statSync(path).isFile() ? readFileSync(path) : undefined).toEqual(before);
});

function writtenFile(content: string): string {
  const path = join(temporaryFolder(), "existing");
  writeFileSync(path, content);
  return path;
}

function otherDatabase(): string {
  const path = join(temporaryFolder(), "other.db");
  const connection = new Database(path);
  connection.exec("CREATE TABLE notes (text)");
  connection.close();
  return path;
}

function linkTo(file: string): string {
  const link = join(temporaryFolder(), "link.db");
  symlinkSync(file, link);
  return link;
}

/** Returns a file that looks like a backup, except for its write-ahead log. */
async function databaseInUse(): Promise<string> {
  const path = join(temporaryFolder(), "m25-mail.db");
  await openStore(path, { create: true }).close();
  const store = openStore(path, { create: false });
  onTestFinished(() => store.close());
  await testRuntime(store).must("add-domain", { domain: "example.nl" });
  return path;
}

test("a backup or restore refuses the database itself as its file", async () => {
  const { file, must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await expect(backUp(file, file)).rejects.toMatchObject({ code: "invalid_input" });
  await expect(restore(file, file)).rejects.toMatchObject({ code: "invalid_input" });
  expect(await must("list-domains")).toMatchObject({ total: 1 });
});

test("a restore says how many domains and mailboxes are back, and when they last changed", async () => {
  const made = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const backup = join(temporaryFolder(), "backup");
  const restored = async () => {
    await backUp(made.file, backup);
    const { code, stdout } = await m25mail(["restore", backup, "--yes", "--db", testStore().file]);
    expect([code, stdout.trimEnd().split("\n").length]).toEqual([0, 1]);
    return stdout;
  };
  expect(await restored()).toContain("Domains: 0, mailboxes: 0 (soft-deleted: 0), last change: none");
  await made.must("add-domain", { domain: "example.nl" });
  for (const email of ["jan@example.nl", "piet@example.nl"])
    await made.must("add-user", { email, password: PASSWORD });
  await made.must("remove-user", { email: "jan@example.nl" });
  expect(await restored()).toContain(
    "Domains: 1, mailboxes: 2 (soft-deleted: 1), last change: 2026-03-01T12:00:00.000Z",
  );
});

test("a restore does not create a database", async () => {
  const { file } = testStore();
  const copy = join(temporaryFolder(), "backup");
  await backUp(file, copy);
  const typo = join(temporaryFolder(), "typo.db");
  await expect(restore(typo, copy)).rejects.toMatchObject({ code: "unavailable" });
  expect(existsSync(typo)).toBe(false);
});

test("a restore keeps revocations and a node's newer key", async () => {
  const server = await startServer();
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const copy = join(temporaryFolder(), "backup");
  await backUp(server.database, copy);
  const answer = await fetch(`${server.url}/sync/v1/key`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}` },
  });
  const fresh = ((await answer.json()) as { sync_key: string }).sync_key;
  const node = new SyncingNode(server.url, fresh);
  await node.poll();
  await restore(server.database, copy);
  expect((await node.poll()).status).toBe(200);
  expect((await new SyncingNode(server.url, key).poll()).status).toBe(401);
});

test("a backup of a missing database says so as every command does, and makes no file", async () => {
  const database = join(temporaryFolder(), "typo.db");
  const file = join(dirname(database), "backup");
  const refused = await m25mail(["backup", file, "--db", database]);
  const elsewhere = await m25mail(["token", "list", "--db", database]);
  expect(refused).toMatchObject({ code: 1, stdout: "", stderr: elsewhere.stderr });
  expect(refused.stderr).toContain(`There is no database at ${database}.`);
  expect(readdirSync(dirname(database))).toEqual([]);
});

test.each([
  ["does not exist", /There is no file/, () => join(temporaryFolder(), "nowhere")],
  [
    "is a text",
    /is not a backup/,
    () => writtenFile("hello, this is a text and no database at all".repeat(100)),
  ],
  ["is empty", /is not a backup/, () => writtenFile("")],
  ["is another program's database", /is not a backup/, () => otherDatabase()],
  ["is a folder", /is not a backup/, () => temporaryFolder()],
  ["is cut off", /is damaged/, () => changedBackup((bytes) => bytes.subarray(0, 5000))],
  ["is damaged", /is damaged/, () => changedBackup((bytes) => bytes.fill(0xff, 100, 8000))],
  ["has a newer version", /newer version/, () => changedBackup((bytes) => bytes.fill(0x01, 60, 62))],
])("a backup that %s changes nothing, and the refusal is about that file", async (_what, words, path) => {
  const { file, must, store } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const before = await stateOf(store);
  const backup = await path();
  const refused = await m25mail(["restore", backup, "--yes", "--db", file]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  const [message = "", hint = ""] = refused.stderr.split("\n");
  expect(message).toMatch(words);
  expect(message).toContain(`unavailable: `);
  expect(message).toContain(backup);
  expect(hint).not.toContain("--db"); // it names the database, not the file
  expect(await stateOf(store)).toEqual(before);
  expect(readdirSync(dirname(file)).filter((name) => name.includes("restore"))).toEqual([]);
});

/** Returns a backup with these changes to its bytes. */
async function changedBackup(change: (bytes: Buffer) => Buffer): Promise<string> {
  const { file } = testStore();
  const path = join(temporaryFolder(), "backup");
  await backUp(file, path);
  writeFileSync(path, change(readFileSync(path)));
  return path;
}

test("a backup is first written under an unpredictable name, and never into an existing file", async () => {
  const { file: database } = testStore();
  const folder = temporaryFolder();
  const file = join(folder, "backup");
  const precious = join(folder, "precious");
  writeFileSync(precious, "kept");
  symlinkSync(precious, `${file}.${process.pid}.tmp`);
  const unfinished = new Set<string>();
  const { backup } = Database.prototype;
  const spy = vi.spyOn(Database.prototype, "backup").mockImplementation(function (
    this: Database.Database,
    path: string,
  ) {
    unfinished.add(path);
    expect(statSync(path)).toMatchObject({ mode: 0o100600, size: 0 });
    return backup.call(this, path);
  });
  onTestFinished(() => spy.mockRestore());
  await backUp(database, file);
  await backUp(database, file);
  expect(unfinished.size).toBe(2);
  expect(readFileSync(precious, "utf8")).toBe("kept");
});
