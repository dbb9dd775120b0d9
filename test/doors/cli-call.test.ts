import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { shell } from "../support/cli.ts";
import { atTerminal, ENTRY, m25mail } from "../support/program.ts";
import { rawDatabase } from "../support/recount.ts";
import { temporaryFolder } from "../support/store.ts";

const addJan = ["call", "add-user", "--email", "jan@example.nl"];

test("--json prints the result alone, and without it the output is for people", async () => {
  const { run } = await shell();
  const listed = await run(["call", "list-domains", "--json"]);
  expect(listed).toMatchObject({ code: 0, stderr: "" });
  expect(listed.stdout).toMatch(/^\{.*\}\n$/);
  expect(JSON.parse(listed.stdout)).toMatchObject({ total: 1, domains: [{ domain: "example.nl" }] });
  const readable = await run(["call", "list-domains"]);
  expect(readable.stdout).toMatch(/^domain +user_count.*\nexample\.nl +0 .*\ntotal: 1\n$/);
});

test("a refusal goes to stderr with its hint, exits with 1, and leaves stdout empty", async () => {
  const { run } = await shell();
  const refused = await run(["call", "add-domain", "--domain", "example.nl", "--json"]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(/^domain_exists: .*\n.*m25-mail user add EMAIL/);
});

test("a refusal uses the shell's names for operations, fields and arguments", async () => {
  const { run } = await shell();
  const refused = await run([...addJan, "--quota-mb", "0"], "correct horse\n");
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toMatch(
    /^invalid_input: --quota-mb: this must be at least 1\.\n.*--email, .*--quota-mb/,
  );
  await run(addJan, "correct horse\n");
  const full = await run(["call", "remove-domain", "--domain", "example.nl"]);
  expect(full.stderr).toContain("m25-mail user list --domain example.nl. Only if they are to go too,");
  const quota = await run(["user", "set", "jan@example.nl", "--quota-mb", "0"]);
  expect(quota.stderr).toMatch(
    /^invalid_input: --quota-mb: .*\nThis call takes EMAIL, --quota-mb, --login\.\n$/,
  );
  const scopes = await run(["token", "create", "x", "--scopes", "read,wriet"]);
  expect(scopes.stderr).toMatch(/^invalid_input: --scopes, number 2: this must be one of: read, /);
  const ip = await run(["node", "set", "pi", "--ip", "300.1.1.1"]);
  expect(ip.stderr).toMatch(/^invalid_input: --ip: .*192\.0\.2\.7.*192\.0\.2\.0\/24, or any\./);
});

test.each([
  [["call"], /ENDPOINT/, "call --help"],
  [["call", "add-domains"], /There is no endpoint add-domains: did you mean add-domain\?/, "call --help"],
  [["call", "frobnicate"], /There is no endpoint frobnicate\. The endpoints: add-domain, /, "call --help"],
  [
    ["call", "add-domain", "--domian", "example.nl"],
    /no flag --domian: did you mean --domain\?/,
    "call add-domain --help",
  ],
  [["call", "add-domain", "example.nl"], /too many arguments/, "call add-domain --help"],
  [["call", "add-domain", "--domain"], /--domain/, "call add-domain --help"],
  [
    ["call", "add-domain", "--domain", "a.nl", "--domain=b.nl"],
    /--domain is given more than once/,
    "call add-domain --help",
  ],
  [["call", "list-users", "--password-file", "x"], /--password-file/, "call list-users --help"],
  [["call", "set-domain-alias", "--domain", "b.nl"], /--of is missing/, "call set-domain-alias --help"],
  [["frobnicate"], /There is no command frobnicate\./, "--help"],
  [["bakup", "copy.db"], /There is no command bakup copy\.db: did you mean m25-mail backup\?/, "--help"],
  [["user", "ad"], /There is no command user ad: did you mean m25-mail user add\?/, "user --help"],
  [["usr", "list", "--json"], /did you mean m25-mail user list\?/, "--help"],
  [["add-domain", "b.nl"], /did you mean m25-mail domain add\?/, "call add-domain --help"],
  [["add-domian", "b.nl"], /did you mean m25-mail domain add\?/, "--help"],
  [["--versoin"], /There is no flag --versoin: did you mean --version\?/, "--help"],
  [
    ["user", "add", "jan@example.nl", "--passwrod-file=x"],
    /--passwrod-file: did you mean --password-file\?/,
    "user add --help",
  ],
  [["--json", "call", "list-domains"], /Flags come after the command/, "--help"],
  [["serve", "--nonsense"], /--nonsense/, "serve --help"],
  [["backup"], /FILE is missing/, "backup --help"],
  [["token", "frobnicate"], /m25-mail token needs one of: create, list, revoke/, "token --help"],
  [["token", "create"], /NAME is missing/, "token create --help"],
  [["oauth", "client", "add", "x"], /--redirect-uri is missing/, "oauth client add --help"],
  [["user", "set"], /EMAIL is missing/, "user set --help"],
  [["token", "create", "x", "--expires", "soon"], /90d/, "token create --help"],
])("%j is wrong usage, exits with 2 and names the matching help", async (args, words, help) => {
  const { run } = await shell();
  const answer = await run(args);
  expect(answer).toMatchObject({ code: 2, stdout: "" });
  expect(answer.stderr).toMatch(words);
  expect(answer.stderr).toContain(`\nSee: m25-mail ${help}\n`);
});

test("a command on a missing database names the path and creates none", async () => {
  const database = join(temporaryFolder(), "typo", "m25-mail.db");
  const answers = await Promise.all(
    [
      ["call", "list-domains"],
      ["token", "list"],
      ["token", "create", "x"],
      ["node", "list"],
    ].map((args) => m25mail([...args, "--db", database])),
  );
  for (const answer of answers) {
    expect(answer).toMatchObject({ code: 1, stdout: "" });
    expect(answer.stderr).toContain(database);
  }
  expect(existsSync(join(database, ".."))).toBe(false);
});

test("the default database is in the user's data folder, and a variable sets another", async () => {
  const folder = temporaryFolder();
  const environment = { HOME: folder, XDG_DATA_HOME: join(folder, "data") };
  const missing = await m25mail(["token", "list"], { environment });
  if (!existsSync("/var/lib/m25-mail"))
    expect(missing.stderr).toContain(join(folder, "data/m25-mail/m25-mail.db"));
  const { database } = await shell();
  const found = await m25mail(["token", "list"], { environment: { ...environment, M25_MAIL_DB: database } });
  expect(found.code).toBe(0);
});

test("a reader that stops after the first lines of a long list causes no error", async () => {
  const { database } = await shell();
  const command = `{ "$0" "$1" call list-domains --db "$2" | true; echo "code \${PIPESTATUS[0]}"; } 2>&1`;
  const output = execFileSync("bash", ["-c", command, process.execPath, ENTRY, database], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  expect(output).toBe("code 0\n");
});

test("a bug is logged with its reference and place, without its message, which may contain secrets", async () => {
  const { run, database } = await shell();
  rawDatabase(database).exec(
    "CREATE TRIGGER broken BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'canary-Hunter22'); END",
  );
  const failed = await run(["call", "add-domain", "--domain", "other.nl"]);
  expect(failed).toMatchObject({ code: 1, stdout: "" });
  const [, reference = "none"] = /^internal: .*reference ([0-9a-f-]{36})/m.exec(failed.stderr) ?? [];
  expect(failed.stderr).toMatch(new RegExp(`error bug request=${reference} cause="SqliteError.*"\\n +at `));
  expect(failed.stderr).not.toContain("Hunter");
});

test("a public provider's domain is registered only if the operator confirms it with a flag", async () => {
  const { run } = await shell();
  const refused = await run(["call", "add-domain", "--domain", "gmail.com"]);
  expect(refused).toMatchObject({ code: 1, stdout: "" });
  expect(refused.stderr).toContain("--public-provider");
  expect(await run(["call", "add-domain", "--domain", "gmail.com", "--public-provider"])).toMatchObject({
    code: 0,
  });
  expect((await run(["call", "add-domain", "--help"])).stdout).toContain("--public-provider");
  expect(await run(["call", "list-domains", "--public-provider"])).toMatchObject({ code: 2 });
});

test("a domain alias ends only by --of none", async () => {
  const { run } = await shell();
  const set = (...of: string[]) => run(["call", "set-domain-alias", "--domain", "further.nl", ...of]);
  const listed = async () => (await run(["call", "list-aliases", "--json"])).stdout;
  expect(await set("--of", "example.nl")).toMatchObject({ code: 0 });
  expect(await set()).toMatchObject({ code: 2 });
  expect(await set("--of", "null")).toMatchObject({ code: 1 });
  expect(await listed()).toContain("further.nl");
  expect(await set("--of", "none")).toMatchObject({ code: 0, stdout: expect.not.stringContaining("of:") });
  expect(await listed()).not.toContain("further.nl");
});

test("alias approve shows what waits, asks, and approves exactly that", async () => {
  const { run, database } = await shell();
  const set = (address: string, targets: string) =>
    run(["call", "set-alias", "--address", address, "--targets", targets]);
  const waiting = async () => JSON.parse((await run(["alias", "list-waiting", "--json"])).stdout).waiting;
  await set("boss@example.nl", "boss@out.nl,thief@out.nl");
  await set("ceo@example.nl", "boss@example.nl");

  const unasked = await run(["alias", "approve", "boss@example.nl"]);
  expect(unasked).toMatchObject({ code: 2, stdout: "" });
  expect(unasked.stderr).toContain("mail for boss@example.nl to boss@out.nl; also mail for ceo@example.nl\n");
  expect(unasked.stderr).toContain("--yes --target boss@out.nl,thief@out.nl");
  expect(await run(["alias", "approve", "boss@example.nl", "--yes"])).toMatchObject({ code: 2 });

  const asked = async (answer: string, meanwhile = async () => {}) => {
    const { child, finished } = atTerminal(["alias", "approve", "boss@example.nl", "--db", database]);
    for await (const text of child.stdout) {
      if (!String(text).includes("[y/N]")) continue;
      await meanwhile();
      child.stdin.write(`${answer}\n`);
    }
    return (await finished).code;
  };
  expect(await asked("n")).toBe(2);
  const added = async () => void (await set("cfo@example.nl", "boss@example.nl"));
  expect(await asked("y", added)).not.toBe(0);
  expect(await waiting()).toHaveLength(2);
  const later = async () => void (await set("boss@example.nl", "boss@out.nl,thief@out.nl,later@out.nl"));
  expect(await asked("y", later)).toBe(0);
  expect(await waiting()).toMatchObject([{ target: "later@out.nl" }]);
  const approve = ["alias", "approve", "boss@example.nl", "--yes", "--target", "later@out.nl"];
  expect(await run(approve)).toMatchObject({ code: 0 });
  expect(await run(approve)).toMatchObject({ code: 1, stderr: expect.stringMatching(/^alias_not_found: /) });
});
