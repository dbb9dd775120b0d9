/** Imports the accounts that the page's commands make of other panels' samples. */
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { m25mail } from "../support/program.ts";
import { testStore } from "../support/store.ts";
import { accountsOf, hasJq } from "./panel-accounts.ts";

/** Imports an accounts.csv into a new database. */
async function imported(accounts: string) {
  const { file } = testStore();
  const flags = ["--from", "csv", "--unlimited-as", "77", "--json", "--db", file];
  const done = await m25mail(["import", accounts, ...flags]);
  expect(done).toMatchObject({ code: 0, stderr: "" });
  const users = spawnSync("sqlite3", [
    file,
    "SELECT local_part || ' ' || quota_mb || ' ' || active FROM users ORDER BY 1",
  ]).stdout.toString();
  const outcomes = JSON.parse(done.stdout).mailboxes as { name: string; outcome: string }[];
  return {
    users: users.trim().split("\n"),
    needPassword: outcomes.filter(({ outcome }) => outcome === "new_password").map(({ name }) => name),
  };
}

test.skipIf(!hasJq)("Mailu's accounts come with their hashes", async () => {
  expect(await imported(accountsOf("mailu"))).toEqual({
    users: ["karel 954 1", "lies 77 1", "mo 477 0"],
    needPassword: ["karel@kade.example"],
  });
});

test("Modoboa's accounts come with the domain's default where they have no quota", async () => {
  expect(await imported(accountsOf("modoboa"))).toEqual({
    users: ["beheer 500 1", "olga 100 1", "paul 250 0"],
    needPassword: [],
  });
});

test("iRedMail's accounts come by the query", async () => {
  expect(await imported(accountsOf("iredmail"))).toEqual({
    users: ["rosa 1024 1", "sem 77 1", "tess 200 0"],
    needPassword: [],
  });
});

test("Mail-in-a-Box's accounts come, and an archived one is inactive", async () => {
  expect(await imported(accountsOf("mailinabox"))).toEqual({
    users: ["uma 77 1", "vic 2048 1", "wil 500 0"],
    needPassword: ["wil@vijver.example"],
  });
});

test("cPanel's accounts come, and a suspended login needs a new password", async () => {
  expect(await imported(accountsOf("cpanel"))).toEqual({
    users: ["xavi 1024 1", "yara 77 1", "zoe 77 1"],
    needPassword: ["yara@zee.example", "zoe@zee.example"],
  });
});
