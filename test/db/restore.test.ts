import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { backUp } from "../../db/sqlite/backup.ts";
import { restore } from "../../db/sqlite/restore.ts";
import { seedDatabase } from "../../db/sqlite/seed.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { atTerminal, m25mail, serveProcess, startM25mail } from "../support/program.ts";
import { kept, rawDatabase, recount, servedState } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { fakeHash, PASSWORD, temporaryFolder, testRuntime, testStore } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

const AT = "2026-03-01T12:00:00.000Z";

/** A database with this many mailboxes, a backup of it, and a domain that was added later. */
async function changedSinceBackup(users: number, domains = 20) {
  const file = join(temporaryFolder(), "m25-mail.db");
  await seedDatabase(file, { users, domains, passwordHash: fakeHash(PASSWORD), at: AT });
  const backup = join(temporaryFolder(), "backup");
  await backUp(file, backup);
  const store = openStore(file, { create: false });
  onTestFinished(() => store.close());
  const shell = testRuntime(store);
  await shell.must("add-domain", { domain: "mistake.nl" });
  return { file, backup, store, shell, database: rawDatabase(file), domains };
}

const count = (database: Database.Database, rows: string) =>
  database.prepare<[], number>(`SELECT count(*) FROM ${rows}`).pluck().get() ?? 0;
const hiddenDomains = (database: Database.Database) =>
  count(database, "domains WHERE erase_after IS NOT NULL");
const isStaging = (database: Database.Database) =>
  count(database, "domains WHERE name LIKE 'restored %'") > 0;
const besides = (file: string) =>
  readdirSync(dirname(file)).filter((name) => name.startsWith(`${basename(file)}.`));

/** Stops a program while it holds no lock on the database. @returns what lets it go on */
function halt(program: ChildProcess, database: Database.Database): () => boolean {
  database.exec("BEGIN IMMEDIATE");
  program.kill("SIGSTOP");
  while (!readFileSync(`/proc/${program.pid}/stat`, "utf8").includes(") T ")); // until the signal has arrived
  database.exec("ROLLBACK");
  return () => program.kill("SIGCONT");
}

test("calls continue during a restore of tens of thousands of mailboxes and see either the old or the new state", async () => {
  const { file, backup, store, shell, database, domains } = await changedSinceBackup(20_000);
  const token = (await m25mail(["token", "create", "t", "--db", file])).stdout.trim();
  const server = await serveProcess(file);
  const ask = async (path: string, body?: object) => {
    const answer = await fetch(`${server.url}/api/${path}`, {
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      ...(body && { method: "POST", body: JSON.stringify(body) }),
    });
    expect(answer.status).toBe(200);
    return (await answer.json()) as { total: number };
  };
  const restoring = startM25mail(["restore", backup, "--yes", "--db", file]);
  const ended = restoring.finished.then(() => true);
  await expect.poll(() => isStaging(database), { interval: 1 }).toBe(true);
  const goOn = halt(restoring.child, database);
  let during = 0;
  let second: ReturnType<typeof m25mail> | undefined;
  for (let turn = 0; !(await Promise.race([ended, Promise.resolve(false)])); turn += 1) {
    const before = isStaging(database);
    const { total } = await ask("list-domains");
    await ask("add-domain", { domain: `server${turn}.nl` });
    await shell.must("add-domain", { domain: `shell${turn}.nl` }); // by this process, a third one
    expect(await ask("list-users?search=user00001&limit=1")).toMatchObject({ users: [{}] });
    if (!before || !isStaging(database)) continue;
    during += 1;
    // All earlier domains are there, and none of the staged ones.
    expect(total).toBe(domains + 1 + 2 * turn);
    second ??= m25mail(["restore", backup, "--yes", "--db", file]);
    if (during === 3) goOn();
  }
  expect((await restoring.finished).code).toBe(0);
  expect(await second).toMatchObject({
    code: 75,
    stderr: expect.stringMatching(/^busy: Another restore into .* is under way\.\n.*Wait until it has ended/),
  });
  const names = [...(await servedState(store)).domains.keys()];
  expect(names.filter((name) => name.startsWith("domain"))).toHaveLength(domains);
  expect(names).not.toContain("mistake.nl");
  expect(names).not.toContain("server0.nl");
  await store.eraseHidden();
  expect(kept(database)).toEqual(recount(database));
  expect(hiddenDomains(database)).toBe(0);
  expect(database.pragma("foreign_key_check")).toEqual([]);
});

test("a restore wakes a waiting node once, and the next change reaches it as a delta", async () => {
  const { file, backup, shell } = await changedSinceBackup(3000);
  const server = await startServer({ db: file });
  const { body } = await server.api("add-node", { name: "pi" });
  const node = new SyncingNode(server.url, String(body.sync_key));
  await node.poll();
  let woken = 0;
  const waiting = node.poll({ prefer: "wait=55" }).finally(() => {
    woken += 1;
  });
  await restore(file, backup, {
    progress: (copied) => {
      if (copied < 3000) expect(woken).toBe(0);
    },
  });
  expect((await waiting).kind).toBe("snapshot");
  expect(node.state?.domains.has("mistake.nl")).toBe(false);
  expect((await node.poll({ prefer: "wait=1" })).status).toBe(304);
  await shell.must("add-domain", { domain: "new.nl" });
  expect((await node.poll()).kind).toBe("delta");
  expect((await node.everything()).digest).toBe(node.state?.digest);
});

test("a node gets deltas while replaced rows of revisions later than the backup's still exist", async () => {
  const { file, shell, database } = await changedSinceBackup(3000);
  const older = testStore();
  await older.must("add-domain", { domain: "example.nl" });
  await shell.must("add-domain", { domain: "example.nl" });
  await shell.must("remove-domain", { domain: "example.nl" });
  const backup = join(temporaryFolder(), "older");
  await backUp(older.file, backup);
  const server = await startServer({ db: file });
  const { body } = await server.api("add-node", { name: "pi" });
  const node = new SyncingNode(server.url, String(body.sync_key));
  await node.poll();
  const stop = new AbortController();
  await restore(file, backup, {
    stop: stop.signal,
    progress: () => {
      if (!isStaging(database) && hiddenDomains(database) !== 0) stop.abort(); // the erasure has begun
    },
  });
  expect(count(database, "users")).toBeGreaterThan(1500);
  expect((await node.poll()).kind).toBe("snapshot");
  await shell.must("add-domain", { domain: "new.nl" });
  expect((await node.poll()).kind).toBe("delta");
  expect([...(node.state?.domains.keys() ?? [])].sort()).toEqual(["example.nl", "new.nl"]);
});

test("a backup of another database is restored as it is, with its passwords, homes, limits and soft-deleted mailboxes", async () => {
  const [one, other] = [testStore(), testStore()];
  const jan = "jan@example.nl";
  for (const { must } of [one, other]) {
    await must("add-domain", { domain: "example.nl" });
    await must("add-user", { email: jan, password: PASSWORD });
  }
  await other.must("add-domain", { domain: "other.nl" });
  await other.must("update-password", { email: jan, password: `${PASSWORD} 2` });
  await other.must("set-user-limits", { email: jan, recipients_per_hour: 7 });
  await other.must("set-domain-limits", { domain: "other.nl", recipients_per_day: 8 });
  await other.must("add-user", { email: "piet@other.nl", password: PASSWORD });
  await other.must("remove-user", { email: "piet@other.nl" });
  const backup = join(temporaryFolder(), "backup");
  await backUp(other.file, backup);
  await restore(one.file, backup);
  const database = rawDatabase(one.file);
  expect(kept(database)).toEqual(kept(rawDatabase(other.file)));
  expect(kept(database)).toEqual(recount(database));
  const [{ users, domains }, former] = [await servedState(one.store), await servedState(other.store)];
  expect({ users, domains }).toEqual({ users: former.users, domains: former.domains });
  const columns = "name, local_part, mailbox, password_hash, quota_mb, active, users.created_at, updated_at";
  const rows = (file: string) =>
    rawDatabase(file).prepare(`SELECT ${columns} FROM users JOIN domains ON domains.id = domain_id`).all();
  expect(rows(one.file)).toEqual(rows(other.file));
  expect(await one.must("add-user", { email: "piet@other.nl", password: PASSWORD })).toMatchObject({
    reactivated: true,
  });
});

test("a restore shows what would go, and asks; only a yes restores, and the former content can come back", async () => {
  const { file, backup, shell, database } = await changedSinceBackup(20);
  await shell.must("add-user", { email: "jan@mistake.nl", password: PASSWORD });
  const before = kept(database);
  const files = () => readdirSync(dirname(file)).sort();
  const there = files();
  const shown = [/^content +domains +mailboxes +last_change$/m, /^now +21 +21 /m, /^in .* +20 +20 /m];
  const going = [/^Domains that go: mistake\.nl$/m, /^Mailboxes that go: 1$/m];

  const unasked = await m25mail(["restore", backup, "--db", file]);
  expect(unasked).toMatchObject({ code: 2, stdout: "" });
  for (const words of [...shown, ...going, /--yes/]) expect(unasked.stderr).toMatch(words);

  const asked = async (answer: string) => {
    const { child, finished } = atTerminal(["restore", backup, "--db", file]);
    let said = "";
    for await (const text of child.stdout) {
      said += text;
      if (String(text).includes("[y/N]")) child.stdin.write(answer);
    }
    return { ...(await finished), said: stripVTControlCharacters(said).replaceAll("\r", "") };
  };
  for (const answer of ["n\n", "\n", "\x03"]) {
    const { code, said } = await asked(answer);
    expect(code).toBe(2);
    // The path is long: the table becomes blocks.
    const blocks = [/^content +now\ndomains +21\nmailboxes +21\n/m, /^content +in .*\ndomains +20\n/m];
    for (const words of [...blocks, ...going, /Nothing was changed\./]) expect(said).toMatch(words);
    expect(kept(database)).toEqual(before);
    expect(files()).toEqual(there);
  }
  const { code, said } = await asked("y\n");
  expect([code, said]).toEqual([0, expect.stringMatching(/former content is in (\S+);.*restore \1/)]);
  expect(kept(database)).not.toEqual(before);
  const [former = ""] = files().filter((name) => name.includes(".before-"));
  const copy = join(dirname(file), former);
  expect(statSync(copy).mode & 0o777).toBe(0o600);
  expect(await m25mail(["restore", copy, "--yes", "--json", "--db", file])).toMatchObject({
    code: 0,
    stderr: "",
  });
  expect(kept(database)).toEqual(before);
  expect(files().filter((name) => name.includes(".before-"))).toHaveLength(2);
});

test("a restore into an empty database asks nothing, and keeps no copy of it", async () => {
  const { backup, database } = await changedSinceBackup(20);
  const empty = testStore();
  const { code, stdout } = await m25mail(["restore", backup, "--db", empty.file]);
  expect([code, stdout]).toEqual([0, expect.not.stringContaining("former")]);
  expect(besides(empty.file).filter((name) => name.includes("before"))).toEqual([]);
  expect(count(rawDatabase(empty.file), "users")).toBe(count(database, "users"));
});

test("Ctrl-C ends a restore between two batches and changes nothing", async () => {
  const { file, backup, store, database } = await changedSinceBackup(100_000);
  const before = kept(database);
  const served = await servedState(store);
  const restoring = startM25mail(["restore", backup, "--yes", "--db", file]);
  await expect.poll(() => isStaging(database), { interval: 1 }).toBe(true);
  const goOn = halt(restoring.child, database); // else a fast one ends first
  restoring.child.kill("SIGINT");
  goOn();
  expect(await restoring.finished).toEqual({
    code: 75,
    stdout: "",
    stderr:
      "unavailable: The restore was stopped.\nNothing was changed. Start it again if you still want it.\n",
  });
  expect(kept(database)).toEqual(before);
  expect(await servedState(store)).toEqual(served);
  expect(besides(file).filter((name) => name.includes("restore"))).toEqual([]);
  await store.eraseHidden(); // at once instead of in an hour
  expect(hiddenDomains(database)).toBe(0);
  expect(kept(database)).toEqual(recount(database));
});

test("a restore that stood still for an hour, and whose staged state is being erased, changes nothing", async () => {
  const { file, backup, database } = await changedSinceBackup(10_000);
  const before = kept(database);
  const refused = restore(file, backup, {
    progress: () => database.exec(`UPDATE domains SET erase_after = '${AT}' WHERE erase_after > ''`),
  });
  await expect(refused).rejects.toMatchObject({ code: "unavailable", temporary: true });
  expect(kept(database)).toEqual(before);
});
