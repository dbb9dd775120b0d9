import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import Database from "better-sqlite3";
import { expect, onTestFinished, test } from "vitest";
import { createFile } from "../../db/sqlite/connection.ts";
import { openStore } from "../../db/sqlite/store.ts";
import { MailError } from "../../src/mail/error.ts";
import { ENTRY, m25mail, startM25mail } from "../support/program.ts";
import { temporaryFolder, testStore } from "../support/store.ts";

const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);

function refusal(path: string, create = false): MailError {
  try {
    void openStore(path, { create }).close();
  } catch (error) {
    if (error instanceof MailError) return error;
    throw error;
  }
  throw new Error("it was opened");
}

test("under umask 000 only the owner can read the database, its companion files and the first token", async () => {
  const folder = join(temporaryFolder(), "deep", "state");
  const file = join(folder, "m25-mail.db");
  const shell = ["/bin/sh", "-c", 'umask 000; exec "$0" "$@"', process.execPath, ENTRY] as const;
  const server = startM25mail(["serve", "--port", "0", "--db", file], { command: shell });
  await server.says(/serves http/);
  expect(mode(folder)).toBe("700");
  expect(readdirSync(folder).sort()).toEqual([
    "first-token",
    "m25-mail.db",
    "m25-mail.db-shm",
    "m25-mail.db-wal",
  ]);
  for (const name of readdirSync(folder)) expect(mode(join(folder, name)), name).toBe("600");
});

test("a new database is never readable for others, not even for a moment", () => {
  const path = join(temporaryFolder(), "m25-mail.db");
  const umask = process.umask(0);
  try {
    createFile(path);
  } finally {
    process.umask(umask);
  }
  expect(mode(path)).toBe("600");
});

test("a program that ends leaves one file with all data", async () => {
  const folder = temporaryFolder();
  const file = join(folder, "m25-mail.db");
  await m25mail(["stdio", "--db", file]);
  await m25mail(["call", "add-domain", "--domain", "example.nl", "--db", file]);
  expect(readdirSync(folder)).toEqual(["m25-mail.db"]);
});

test("opening a database that others can read makes it private", async () => {
  const { file, store } = testStore();
  await store.close();
  execFileSync("chmod", ["644", file]);
  await openStore(file, { create: false }).close();
  expect(mode(file)).toBe("600");
});

test("a missing database is reported by its path, and none is created", () => {
  const path = join(temporaryFolder(), "typo.db");
  const { code, message, hint } = refusal(path);
  expect(code).toBe("unavailable");
  expect(message).toContain(path);
  expect(hint.join("")).toContain("--db");
  expect(readdirSync(dirname(path))).toEqual([]);
});

test("a database of a newer version is refused and unchanged", async () => {
  const { file, store } = testStore();
  await store.close();
  const database = new Database(file);
  database.pragma("user_version = 999");
  database.close();
  const before = readFileSync(file);
  const { code, message } = refusal(file);
  expect(code).toBe("unavailable");
  expect(message).toContain("schema 999");
  expect(readFileSync(file).equals(before)).toBe(true);
});

test("a database of another program is refused and unchanged", () => {
  const path = join(temporaryFolder(), "other.db");
  const database = new Database(path);
  database.exec("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
  database.close();
  chmodSync(path, 0o644);
  const before = readFileSync(path);
  expect(refusal(path).message).toContain("a database of another program");
  expect(readFileSync(path)).toEqual(before);
  expect(mode(path)).toBe("644"); // others may have to read it
});

test("a file that is not a database is refused and unchanged", () => {
  const path = join(temporaryFolder(), "letter.txt");
  writeFileSync(path, "Dear reader, ".repeat(1000), { mode: 0o644 });
  expect(refusal(path)).toMatchObject({ code: "unavailable" });
  expect(refusal(path, true).message).toContain("not an SQLite database");
  expect(readFileSync(path, "utf8")).toBe("Dear reader, ".repeat(1000));
  expect(mode(path)).toBe("644"); // it may be /etc/passwd
});

test("a database with damaged pages is refused in plain words, at the start or by its calls", async () => {
  const { must, file, store } = testStore();
  for (let index = 0; index < 50; index += 1) await must("add-domain", { domain: `d${index}.nl` });
  await store.close();
  const bytes = readFileSync(file);
  bytes.fill(0xa5, 4096);
  writeFileSync(file, bytes);
  const listed = await m25mail(["call", "list-domains", "--db", file]);
  expect(listed.stdout).toBe("");
  expect(listed.code).not.toBe(0);
  expect(listed.stderr).toMatch(/^unavailable: /);
});

test.each([
  ["a folder", (folder: string) => folder],
  [
    "a file below another file",
    (folder: string) => {
      writeFileSync(join(folder, "file"), "");
      return join(folder, "file", "m25-mail.db");
    },
  ],
])("a database path that is %s is refused in plain words", (_what, made) => {
  const path = made(temporaryFolder());
  for (const create of [false, true]) {
    const { code, message } = refusal(path, create);
    expect(code).toBe("unavailable");
    expect(message).toContain(path);
  }
});

const root = process.getuid?.() === 0;

test.skipIf(!root)(
  "a database on a read-only file system is refused in plain words (needs root)",
  async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "mount"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", join(folder, "mount")]);
    onTestFinished(() => void execFileSync("umount", [join(folder, "mount")]));
    const file = join(folder, "mount", "m25-mail.db");
    await openStore(file, { create: true }).close();
    execFileSync("mount", ["-o", "remount,ro", join(folder, "mount")]);
    const added = await m25mail(["call", "add-domain", "--domain", "example.nl", "--db", file]);
    expect(added).toMatchObject({ code: 1, stdout: "" });
    expect(added.stderr).toMatch(/^unavailable: /);
    expect(added.stderr).toContain(file);
    const other = refusal(join(folder, "mount", "new.db"), true);
    expect(other).toMatchObject({ code: "unavailable" });
  },
);

test.skipIf(process.platform !== "linux")(
  "a database where no folder can be created, as below /proc, is refused in plain words",
  async () => {
    const { code, stderr } = await m25mail(["stdio", "--db", "/proc/no-folder/deep/m25-mail.db"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^unavailable: /m);
  },
);
