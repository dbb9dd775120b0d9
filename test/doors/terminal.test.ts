import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { show } from "../../src/doors/cli/show.ts";
import { shell } from "../support/cli.ts";
import { atTerminal, environmentOf } from "../support/program.ts";

const root = join(import.meta.dirname, "../..");
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const rows = () => ({
  users: [{ email: "jan@example.nl", login: "on", created_at: ago(2 * 3_600_000 + 1000) }],
  changed_at: ago(86_400_000 + 1000),
});

test("at a terminal times are relative and states have colours, unless it has none", () => {
  const colours = show(rows(), { columns: 80, hasColours: true });
  expect(colours).toContain("\x1b[32mon\x1b[0m");
  expect(colours).toContain("2 hours ago");
  expect(show(rows(), { columns: 80, hasColours: false })).toMatch(
    /^email +login +created_at\njan@example\.nl +on +2 hours ago\nchanged_at: \d{4}.*Z \(1 day ago\)$/,
  );
});

test("a table that is wider than the terminal becomes a block of lines for each row", () => {
  const text = show({ users: [...rows().users, ...rows().users] }, { columns: 30, hasColours: false });
  expect(text).toBe(
    `${["email       jan@example.nl", "login       on", "created_at  2 hours ago"].join("\n")}\n\n`
      .repeat(2)
      .trimEnd(),
  );
});

test("in a pipe nothing is relative or coloured", () => {
  const { users } = rows();
  expect(show({ users }, undefined)).toBe(
    `email           login  created_at\njan@example.nl  on     ${users[0]?.created_at}`,
  );
});

/** The text that a command shows at a real terminal, whatever CI and NO_COLOR say here. */
async function shown(words: readonly string[], environment: Record<string, string>): Promise<string> {
  const { child, finished } = atTerminal(words, {
    TERM: "xterm",
    CI: undefined,
    NO_COLOR: undefined,
    ...environment,
  });
  child.stdin.end();
  return (await finished).stdout;
}

test("a real terminal gets colours, and none with NO_COLOR", async () => {
  const { database } = await shell();
  const words = ["domain", "list", "--db", database];
  const coloured = await shown(words, {});
  expect(coloured).toContain("\x1b[1mdomain\x1b[0m");
  expect(coloured).toMatch(/^example\.nl .*(ago|just now)/m);
  expect(await shown(words, { NO_COLOR: "1" })).toMatch(/^domain +user_count/);
});

/** The words that bash offers for the last of these words. */
function completed(program: string, file: string, ...words: string[]): string[] {
  const script = `source <("$1" "$2" completion); shift 2; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _${program.replace(/-/g, "_")}; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const args = [
    "--norc",
    "-c",
    script,
    "bash",
    process.execPath,
    join(root, "dist", file),
    program,
    ...words,
  ];
  return execFileSync("bash", args, { encoding: "utf8", env: environmentOf() }).trim().split("\n");
}

test("bash completes commands, their words and their flags", () => {
  const server = (...words: string[]) => completed("m25-mail", "m25-mail.js", ...words);
  expect(server("user", "re")).toEqual(["remove", "rename", "restore"]);
  expect(server("user", "add", "jan@example.nl", "--q")).toEqual(["--quota-mb"]);
  expect(server("call", "add-u")).toEqual(["add-user"]);
  expect(server("oauth", "client", "")).toEqual(["add", "list", "remove"]);
  const node = (...words: string[]) => completed("m25-mail-node", "m25-mail-node.mjs", ...words);
  expect(node("st")).toEqual(["status"]);
  expect(node("status", "--")).toEqual(["--out", "--json", "--help"]);
});
