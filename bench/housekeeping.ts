import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import Database from "better-sqlite3";
import type { seedDatabase as Seed } from "../db/sqlite/seed.ts";
import { benchmark, cleanup, headersOf, Program, someHash, temporaryFolder } from "./support.ts";

/**
 * The server's work on all rows: its duration, and the waits of others meanwhile. FOLDER: another built checkout. A name
 * after it, from those below, measures only that work.
 */
const folder = resolve(process.argv[2] ?? join(import.meta.dirname, ".."));
const USERS = Number(process.env.USERS ?? 1_000_000);
const program = join(folder, "dist/m25-mail.js");
const DAY = 86_400_000;
const seed = ["db/sqlite/seed.ts", "db/seed.ts"].map((path) => join(folder, path)).find(existsSync);
const { seedDatabase }: { seedDatabase: typeof Seed } = await import(seed ?? "");

/** A database whose one domain has no active mailbox, with a long and old audit log. */
async function inactive(users: number, entries: number): Promise<string> {
  const file = join(temporaryFolder(), "m25-mail.db");
  const at = new Date(Date.now() - 100 * DAY).toISOString();
  await seedDatabase(file, { users, domains: 1, passwordHash: `{BLF-CRYPT}${"x".repeat(60)}`, at });
  const database = new Database(file);
  const log = "INSERT INTO audit_log (at, principal, door, tool, arguments, revision)";
  database.exec(`UPDATE users SET active = 0;
    UPDATE domains SET user_count = 0, inactive_user_count = ${users};
    UPDATE state SET user_count = 0, inactive_user_count = ${users};
    ${log} SELECT '${at}', 'a', 'cli', 'b', '{}', 0 FROM json_each('[' || substr(replace(hex(zeroblob(${Math.max(1, entries)})), '00', ',0'), 2) || ']');
    ${log} VALUES ('${new Date().toISOString()}', 'a', 'cli', 'b', '{}', 0);
    PRAGMA wal_checkpoint(TRUNCATE)`);
  database.close();
  return file;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The longest time of an attempt, repeated until stopped, in ms. */
class Longest {
  ms = 0;
  #stopped = false;
  readonly #ended: Promise<void>;

  constructor(attempt: () => unknown) {
    this.#ended = this.#repeat(attempt);
  }

  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#ended;
    return Math.round(this.ms);
  }

  async #repeat(attempt: () => unknown): Promise<void> {
    while (!this.#stopped) {
      const began = performance.now();
      await attempt();
      this.ms = Math.max(this.ms, performance.now() - began);
      await pause(5);
    }
  }
}

/** Another process's write. It tries the lock every 10 ms, as the program's writes do. */
function otherWriter(file: string): () => Promise<void> {
  const database = new Database(file, { timeout: 0 });
  cleanup(() => void database.close());
  const write = database.prepare("UPDATE state SET node_version = node_version + 1");
  return async () => {
    for (;;) {
      try {
        write.run();
        return;
      } catch {
        await pause(10);
      }
    }
  };
}

async function measure(what: string, file: string, run: () => Promise<unknown>, url?: string): Promise<void> {
  const waits = new Longest(otherWriter(file));
  const answers =
    url === undefined ? undefined : new Longest(async () => (await fetch(`${url}/healthz`)).text());
  const began = performance.now();
  await run();
  const seconds = (performance.now() - began) / 1000;
  const [lock, answer] = [await waits.stop(), await answers?.stop()];
  print(
    `${what}: ${seconds.toFixed(1)} s; another process waits for the lock for up to ${lock} ms` +
      (answer === undefined ? "" : `; /healthz takes up to ${answer} ms`),
  );
}

async function gone(file: string, query: string): Promise<void> {
  const database = new Database(file, { readonly: true });
  const left = database.prepare<[], number>(query).pluck();
  while ((left.get() ?? 0) > 0) await pause(100);
  database.close();
}

async function purge(users: number): Promise<void> {
  const file = await inactive(users, 0);
  const began = performance.now();
  const server = new Program([program, "serve", "--db", file, "--port", "0", "--purge-inactive-after", "30"]);
  const url = await server.url(3_600_000);
  print(`a server that has to purge listens after ${Math.round(performance.now() - began)} ms`);
  await measure(
    `purge of ${users}`,
    file,
    () => gone(file, "SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)"),
    url,
  );
  await server.end();
}

async function forget(entries: number): Promise<void> {
  const file = await inactive(1, entries);
  const server = new Program([program, "serve", "--db", file, "--port", "0", "--audit-retention", "30"]);
  const url = await server.url(3_600_000);
  const old = `SELECT count(*) FROM (SELECT 1 FROM audit_log WHERE at < '${new Date(Date.now() - 30 * DAY).toISOString()}' LIMIT 1)`;
  await measure(`forgetting ${entries} audit entries`, file, () => gone(file, old), url);
  await server.end();
}

async function remove(users: number): Promise<void> {
  const file = await inactive(users, 0);
  const server = new Program([program, "serve", "--db", file, "--port", "0"]);
  const url = await server.url();
  const domain = "domain1.example";
  await measure(
    `remove_domain with ${users} inactive mailboxes`,
    file,
    async () => {
      const began = performance.now();
      const answer = await fetch(`${url}/api/remove-domain`, {
        method: "POST",
        headers: headersOf(file),
        body: JSON.stringify({ domain }),
      });
      print(`… answered ${answer.status} after ${Math.round(performance.now() - began)} ms`);
      await gone(file, "SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)");
    },
    url,
  );
  await server.end();
}

/** @param others true for a backup of another database with other content */
async function restore(users: number, others: boolean): Promise<void> {
  const [file, other] = [0, 1].map(() => join(temporaryFolder(), "m25-mail.db")) as [string, string];
  const at = new Date().toISOString();
  for (const path of others ? [file, other] : [file]) {
    await seedDatabase(path, { users, domains: 1000, passwordHash: someHash, at });
  }
  const backup = join(temporaryFolder(), "backup");
  await new Program([program, "backup", "--db", others ? other : file, backup]).ended();
  const what = `restore of ${users}, ${others ? "a wholly different state" : "the same state"}`;
  await measure(what, file, async () => {
    const began = performance.now();
    const changedOver = another("SELECT history FROM state", file).then(() => {
      print(`… nodes are served it after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    });
    await new Program([program, "restore", "--db", file, backup]).ended();
    await changedOver;
  });
  print(
    `… the database has ${Math.round(statSync(file).size / 2 ** 20)} MiB, the backup ${Math.round(statSync(backup).size / 2 ** 20)} MiB`,
  );
}

/** Resolves when this query's answer has changed. */
async function another(query: string, file: string): Promise<void> {
  const database = new Database(file, { readonly: true });
  const value = database.prepare(query).pluck();
  const first = value.get();
  while (value.get() === first) await pause(20);
  database.close();
}

/** Measures one of these, or all. */
const only = process.argv[3];
const all: ReadonlyArray<[name: string, run: () => Promise<void>]> = [
  ["purge", () => purge(USERS / 2)],
  ["forget", () => forget(300_000)],
  ["remove", () => remove(USERS)],
  ["restore", () => restore(USERS, false)],
  ["restore-other", () => restore(USERS, true)],
];

await benchmark(async () => {
  for (const [name, run] of all) if (only === undefined || only === name) await run();
});
