import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { m25mail, startM25mail } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { fakeHash, temporaryFolder, testStore } from "../support/store.ts";

const MAILBOXES = 5000;
const ALIASES = 1000;

test("an apply that is killed has done everything or nothing, and again does the rest", async () => {
  const { file: database, store } = testStore();
  await store.close();
  const path = join(temporaryFolder(), "mail.json");
  const email = (number: number) => `user${number}@a.nl`;
  const mailboxes = Array.from({ length: MAILBOXES }, (_, number) => ({
    email: email(number),
    password_hash: fakeHash("one"),
  }));
  const aliases = Array.from({ length: ALIASES }, (_, number) => ({
    address: `alias${number}@a.nl`,
    targets: [email(number), email(number + 1)],
  }));
  writeFileSync(path, JSON.stringify({ domains: ["a.nl"], mailboxes, aliases }));
  const raw = rawDatabase(database);
  const count = (table: string) => raw.prepare<[], number>(`SELECT count(*) FROM ${table}`).pluck().get();
  const written = () => (existsSync(`${database}-wal`) ? statSync(`${database}-wal`).size : 0);
  let killed = 0;
  for (let size = written() + 1; count("users") === 0; size = Math.max(size, written()) + 200_000) {
    const { child, finished } = startM25mail(["apply", path, "--db", database]);
    while (child.exitCode === null && written() < size) await new Promise(setImmediate);
    child.kill("SIGKILL");
    killed += (await finished).code === null ? 1 : 0;
    expect([0, MAILBOXES + ALIASES]).toContain((count("users") ?? 0) + (count("aliases") ?? 0));
  }
  expect(killed).toBeGreaterThan(0);
  expect((await m25mail(["apply", path, "--db", database])).stdout).toBe(
    `Mailboxes: unchanged ${MAILBOXES}\nAliases: unchanged ${ALIASES}\n`,
  );
  expect(kept(raw)).toEqual(recount(raw));
});
