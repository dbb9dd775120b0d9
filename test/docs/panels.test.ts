/** The commands that make a CSV of another panel's accounts, run on its sample. */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { m25mail } from "../support/program.ts";
import { temporaryFolder, testStore } from "../support/store.ts";
import { command, ROOT } from "./pages.ts";
import { panels } from "./runs.ts";

const SAMPLES = join(ROOT, "test/samples/import");

/** Runs a page's script in a folder, where these programs replace those of the same name, and imports accounts.csv. */
async function importBy(script: string, programs: Record<string, string> = {}) {
  const folder = temporaryFolder();
  for (const [name, program] of Object.entries(programs))
    writeFileSync(join(folder, name), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
  const here = script.replaceAll("~/", `${folder}/`);
  const env = { PATH: `${folder}:${process.env.PATH}`, FOLDER: folder, SAMPLES };
  execFileSync("bash", ["--norc", "-euo", "pipefail", "-c", here], { cwd: folder, env });
  const { file } = testStore();
  const flags = ["--from", "csv", "--unlimited-as", "77", "--json", "--db", file];
  const imported = await m25mail(["import", join(folder, "accounts.csv"), ...flags]);
  expect(imported).toMatchObject({ code: 0, stderr: "" });
  const users = spawnSync("sqlite3", [
    file,
    "SELECT local_part || ' ' || quota_mb || ' ' || active FROM users ORDER BY 1",
  ]).stdout.toString();
  const outcomes = JSON.parse(imported.stdout).mailboxes as { name: string; outcome: string }[];
  return {
    users: users.trim().split("\n"),
    needPassword: outcomes.filter(({ outcome }) => outcome === "new_password").map(({ name }) => name),
  };
}

const sampleSql = (file: string) => readFileSync(join(SAMPLES, file), "utf8");

test.skipIf(spawnSync("jq", ["--version"]).status !== 0)(
  "Mailu's accounts come with their hashes",
  async () => {
    const config = JSON.stringify(parse(readFileSync(join(SAMPLES, "mailu/mail-config.yml"), "utf8")));
    expect(await importBy(command(panels.mailu), { docker: `cat <<'END'\n${config}\nEND` })).toEqual({
      users: ["karel 954 1", "lies 77 1", "mo 477 0"],
      needPassword: ["karel@kade.example"],
    });
  },
);

test("Modoboa's accounts come with the domain's default where they have no quota", async () => {
  const script = command(panels.modoboa).replace("modoboa.csv", `${SAMPLES}/modoboa/import.csv`);
  expect(await importBy(script)).toEqual({
    users: ["beheer 500 1", "olga 100 1", "paul 250 0"],
    needPassword: [],
  });
});

test("iRedMail's accounts come by the query, which SQLite answers here", async () => {
  const columns = /INSERT INTO `mailbox` \((.*?)\)/.exec(sampleSql("iredmail/vmail.mysql.sql"))?.[1];
  const inserted = /^INSERT INTO `mailbox` .*?;$/ms.exec(sampleSql("iredmail/vmail.mysql.sql"))?.[0];
  const sql = `CREATE TABLE mailbox (${columns});\n${inserted}`;
  const mariadb = `sqlite3 "$FOLDER/vmail" <<'END'\n${sql}\nEND\nsqlite3 -header -tabs "$FOLDER/vmail" "$3"`;
  expect(await importBy(command(panels.iredmail), { mariadb })).toEqual({
    users: ["rosa 1024 1", "sem 77 1", "tess 200 0"],
    needPassword: [],
  });
});

test("Mail-in-a-Box's accounts come, and an archived one is inactive", async () => {
  const made = `sqlite3 users.sqlite < '${SAMPLES}/mailinabox/users.sql'\n`;
  const script = command(panels.mailinabox).replace("/home/user-data/mail/users.sqlite", "users.sqlite");
  expect(await importBy(made + script)).toEqual({
    users: ["uma 77 1", "vic 2048 1", "wil 500 0"],
    needPassword: ["wil@vijver.example"],
  });
});

test("cPanel's accounts come, and a suspended login needs a new password", async () => {
  const script = command(panels.cpanel).replace("cd /home", `cd '${SAMPLES}/cpanel/home'`);
  expect(await importBy(script)).toEqual({
    users: ["xavi 1024 1", "yara 77 1", "zoe 77 1"],
    needPassword: ["yara@zee.example", "zoe@zee.example"],
  });
});
