import { writeFileSync } from "node:fs";
import { join } from "node:path";
import bcrypt from "bcrypt";
import { expect, test } from "vitest";
import { shell } from "../support/cli.ts";
import { atTerminal } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";

async function opens(database: string, password: string): Promise<boolean> {
  const hash = rawDatabase(database).prepare<[], string>("SELECT password_hash FROM users").pluck().get();
  return bcrypt.compare(password, (hash ?? "").replace("{BLF-CRYPT}", ""));
}

const addJan = ["call", "add-user", "--email", "jan@example.nl"];

test.each([
  ["with a Unix line end", "correct horse\n", "correct horse"],
  ["with a Windows line end", "correct horse\r\n", "correct horse"],
  ["without a line end", "correct horse", "correct horse"],
  ["with spaces at its edges", " correct horse \n", " correct horse "],
  ["with a second line, which is not part of it", "correct horse\nbattery\n", "correct horse"],
])("a password is read from standard input %s", async (_what, input, password) => {
  const { run, database } = await shell();
  expect(await run(addJan, input)).toMatchObject({ code: 0, stderr: "" });
  expect(await opens(database, password)).toBe(true);
});

test("at a terminal a password is typed twice, and not shown", async () => {
  const { run, database } = await shell();
  await run(addJan, "correct horse\n");
  const typed = async (...passwords: string[]) => {
    const { child, finished } = atTerminal(["user", "passwd", "jan@example.nl", "--db", database]);
    let said = "";
    for await (const text of child.stdout) {
      said += text;
      if (/: $/.test(String(text))) child.stdin.write(`${passwords.shift()}\n`);
    }
    expect(said).not.toMatch(/battery|staple/);
    return { ...(await finished), said };
  };
  expect(await typed("battery staple", "battery stable")).toMatchObject({
    code: 2,
    said: expect.stringContaining("The two passwords differ. Nothing was changed."),
  });
  expect(await opens(database, "correct horse")).toBe(true);
  expect(await typed("battery staple", "battery staple")).toMatchObject({ code: 0 });
  expect(await opens(database, "battery staple")).toBe(true);
});

test("a password is read from a file, without its line end", async () => {
  const { run, database, folder } = await shell();
  const file = join(folder, "password");
  writeFileSync(file, "correct horse\r\n");
  expect(await run([...addJan, "--password-file", file])).toMatchObject({ code: 0 });
  expect(await opens(database, "correct horse")).toBe(true);
  writeFileSync(file, "battery staple\n");
  const update = ["call", "update-password", "--email", "jan@example.nl", "--password-file", file];
  expect(await run(update)).toMatchObject({ code: 0 });
  expect(await opens(database, "battery staple")).toBe(true);
});

test("an empty input and an empty file are no password, and the refusal says where one comes from", async () => {
  const { run, folder } = await shell();
  for (const input of ["", "\n"]) {
    expect(await run(addJan, input)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^Standard input has no password: pipe it in, or use --password-file FILE\./,
      ),
    });
  }
  const file = join(folder, "empty");
  writeFileSync(file, "\n");
  expect(await run([...addJan, "--password-file", file])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is empty"),
  });
});

test("a password file with a second line is refused, because the line may be part of the password", async () => {
  const { run, database, folder } = await shell();
  const file = join(folder, "password");
  for (const text of ["correct horse\nbattery staple\n", "correct horse\n\n", "\ncorrect horse\n"]) {
    writeFileSync(file, text);
    const refused = await run([...addJan, "--password-file", file]);
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toMatch(/more than one line/);
    expect(refused.stderr).not.toMatch(/correct|battery/);
  }
  expect(rawDatabase(database).prepare("SELECT count(*) FROM users").pluck().get()).toBe(0);
});

test.each([
  ["nothing on standard input", addJan, "", 2, /^Standard input has no password: /],
  ["a missing password file", [...addJan, "--password-file", "/nowhere"], "", 2, /\/nowhere cannot be read/],
  [
    "a password as a flag",
    [...addJan, "--password", "canary-Hunter22"],
    "",
    2,
    /cannot be a flag.*--password-file/,
  ],
  ["a password as a flag with =", [...addJan, "--password=canary-Hunter22"], "", 2, /cannot be a flag/],
])("%s is refused, and the refusal repeats no password", async (_what, args, input, code, words) => {
  const { run, database } = await shell();
  const refused = await run(args, input);
  expect(refused).toMatchObject({ code, stdout: "" });
  expect(refused.stderr).toMatch(words);
  expect(refused.stderr).not.toContain("Hunter");
  expect(rawDatabase(database).prepare("SELECT count(*) FROM users").pluck().get()).toBe(0);
});
