import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import bcrypt from "bcrypt";
import { describe, expect, onTestFinished, test } from "vitest";
import { importFiles } from "../../src/doors/cli/import/command.ts";
import { NO_LOGIN } from "../../src/mail/stored-hash.ts";
import type { Planned } from "../../tools/operator/import/outcome.ts";
import { databaseAt } from "../support/engine.ts";
import { m25mail } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { PASSWORD, temporaryFolder, testStore } from "../support/store.ts";

const SAMPLES = join(import.meta.dirname, "../samples/import");
const sample = (...files: string[]) => files.map((file) => join(SAMPLES, file));

const postfixAdmin = {
  taken: [
    "anna@bakkerij.example 1000",
    "bram@bakkerij.example 500",
    "els@molen.example 2048",
    "frits.oud@molen.example 1",
  ],
  inactive: ["dirk@bakkerij.example"],
  newPassword: ["carla@bakkerij.example"],
};

const sources: ReadonlyArray<
  readonly [string, string[], Record<"taken" | "inactive" | "newPassword", string[]>]
> = [
  ["postfixadmin", sample("postfixadmin/postfix.mysql.sql"), postfixAdmin],
  ["postfixadmin", sample("postfixadmin/postfix.pgsql.sql"), postfixAdmin],
  [
    "mailcow",
    sample("mailcow/mailcow.mysql.sql"),
    {
      taken: ["piet@fiets.example 3072", "quirine@fiets.example 500"],
      inactive: ["sjaan@fiets.example"],
      newPassword: ["rik@fiets.example", "tim@fiets.example"],
    },
  ],
  [
    "mailcow",
    sample(
      "mailcow/api-get-mailbox-all.json",
      "mailcow/api-get-domain-all.json",
      "mailcow/api-get-alias-all.json",
      "mailcow/api-get-alias-domain-all.json",
    ),
    {
      taken: [],
      inactive: ["sjaan@fiets.example"],
      newPassword: ["piet", "quirine", "rik", "sjaan", "tim"].map((name) => `${name}@fiets.example`),
    },
  ],
  [
    "docker-mailserver",
    sample(
      "docker-mailserver/postfix-accounts.cf",
      "docker-mailserver/dovecot-quotas.cf",
      "docker-mailserver/postfix-virtual.cf",
    ),
    {
      taken: ["hans@hut.example 5120", "ida@hut.example 250", "joop@hut.example 500"],
      inactive: [],
      newPassword: [],
    },
  ],
  [
    "csv",
    sample("csv/plain.csv", "csv/plain-semicolon-hashes.csv"),
    {
      taken: [
        "cato@dijk.example 2048",
        "daan@dijk.example 500",
        "fien@dijk.example 1024",
        "gijs@dijk.example 500",
      ],
      inactive: ["eva@dijk.example"],
      newPassword: ["eva@dijk.example"],
    },
  ],
];

const LINKS = { M25_MAIL_PUBLIC_URL: "https://mail.example" };

/** Runs m25-mail on the database of this name. */
const runOn = async (file: string, args: readonly string[], environment: Record<string, string> = {}) =>
  m25mail([...args, "--db", await databaseAt(file)], { environment });

/** A new database, and m25-mail on it. */
function database() {
  const made = testStore();
  const shell = (...args: string[]) => runOn(made.file, args);
  const json = async (...args: string[]) => {
    const { code, stdout, stderr } = await shell(...args, "--json");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout);
  };
  const addressed = (planned: readonly Planned[], outcome: string) =>
    planned.filter((one) => one.outcome === outcome).map(({ name }) => name);
  return { ...made, shell, json, addressed };
}

describe("an import from", () => {
  test.each(sources)("%s %j takes what it can, and again changes nothing", async (from, files, expected) => {
    const { json, addressed, must, file } = database();
    const flags = ["import", ...files, "--from", from, "--unlimited-as", "500"];
    const { revision, ...planned } = await json(...flags, "--dry-run");
    expect(revision).toBeUndefined();
    expect(await must("list-domains")).toMatchObject({ total: 0 });

    const done = await json(...flags);
    expect(done).toEqual({ ...planned, revision: 1 });
    expect(addressed(done.mailboxes, "new_password")).toEqual(expected.newPassword);
    const { users } = (await must("list-users")) as {
      users: { email: string; quota_mb: number; active: boolean }[];
    };
    const needsNone = users.filter(({ email }) => !expected.newPassword.includes(email));
    expect(
      needsNone.filter(({ active }) => active).map(({ email, quota_mb }) => `${email} ${quota_mb}`),
    ).toEqual(expected.taken);
    expect(users.filter(({ active }) => !active).map(({ email }) => email)).toEqual(expected.inactive);
    const raw = rawDatabase(file);
    expect(kept(raw)).toEqual(recount(raw));

    const before = raw.prepare("SELECT * FROM users").all();
    const again = await json(...flags);
    expect(again).toMatchObject({ revision: 1 });
    expect(addressed(again.mailboxes, "taken")).toEqual([]);
    expect(raw.prepare("SELECT * FROM users").all()).toEqual(before);
  });
});

test.each([
  [
    "mariadb --batch",
    "username\tpassword\tquota\tactive\nanna@bakkerij.example\t{PLAIN}a\\\\b and c\t1048576000\t1\ntim@bakkerij.example\tNULL\t0\t0\n",
  ],
  [
    "psql --csv",
    'username,password,quota,active\nanna@bakkerij.example,"{PLAIN}a\\b and c",1048576000,t\ntim@bakkerij.example,,0,f\n',
  ],
])("what %s prints is read like a dump", async (_program, text) => {
  const { json, must, file } = database();
  const path = join(file, "..", "mailbox");
  writeFileSync(path, text);
  const done = await json("import", path, "--from", "postfixadmin", "--unlimited-as", "9");
  expect(done.mailboxes).toMatchObject([
    { name: "anna@bakkerij.example", outcome: "taken" },
    { name: "tim@bakkerij.example", outcome: "new_password" },
  ]);
  const { users } = (await must("list-users")) as { users: object[] };
  expect(users).toMatchObject([
    { quota_mb: 1000, active: true },
    { quota_mb: 9, active: false },
  ]);
  const hash = String(rawDatabase(file).prepare("SELECT password_hash FROM users").pluck().get());
  expect(await bcrypt.compare("a\\b and c", hash.slice("{BLF-CRYPT}".length))).toBe(true);
});

test("a mailbox that exists keeps its password and its limit", async () => {
  const { json, must, file } = database();
  await must("add-domain", { domain: "hut.example" });
  await must("add-user", { email: "hans@hut.example", password: "another password", quota_mb: 7 });
  const hash = () =>
    rawDatabase(file).prepare("SELECT password_hash FROM users WHERE local_part = 'hans'").pluck().get();
  const before = hash();
  const done = await json(
    "import",
    ...sample("docker-mailserver/postfix-accounts.cf"),
    "--from",
    "docker-mailserver",
    "--unlimited-as",
    "9",
  );
  expect(done.mailboxes[0]).toMatchObject({ name: "hans@hut.example", outcome: "left_out" });
  expect(hash()).toBe(before);
  expect(await must("list-users")).toMatchObject({
    users: [{ quota_mb: 7 }, { quota_mb: 9 }, { quota_mb: 9 }],
  });
});

test("only the domains of --domains come", async () => {
  const { json, must } = database();
  const flags = ["--from", "postfixadmin", "--unlimited-as", "9", "--domains", "molen.example"];
  const done = await json("import", ...sample("postfixadmin/postfix.mysql.sql"), ...flags);
  expect(JSON.stringify(done)).not.toContain("bakkerij");
  expect(await must("list-domains")).toMatchObject({ domains: [{ domain: "molen.example" }] });
});

test("the audit log says where mailboxes came from, and not their passwords", async () => {
  const { json, must } = database();
  await json("import", ...sample("csv/plain.csv"), "--from", "csv", "--unlimited-as", "9");
  expect(await must("read-audit")).toMatchObject({
    entries: [
      {
        tool: "import",
        arguments: { from: "csv", files: ["plain.csv"], unlimited_as: 9, domains: [], mailbox_count: 3 },
      },
    ],
  });
});

describe("an import is refused whole", () => {
  const good = "email,password,quota_mb\njan@example.nl,a good passphrase,100\n";
  const dump = readFileSync(join(SAMPLES, "postfixadmin/postfix.mysql.sql"), "utf8");
  const copy = readFileSync(join(SAMPLES, "postfixadmin/postfix.pgsql.sql"), "utf8");
  test.each([
    ["without mailboxes", "csv", "email,password\n", "no mailbox"],
    ["without a limit that a mailbox needs", "csv", good.replace("100", "0"), "--unlimited-as"],
    ["with a limit that is no size", "csv", good.replace("100", "much"), "entry 1: the size limit"],
    ["with a limit without its unit", "csv", good.replace("quota_mb", "quota"), "no unit"],
    ["with a column that nobody knows", "csv", good.replace("quota_mb", "colour"), "column 3"],
    [
      "without a column for addresses",
      "csv",
      good.replace("email,", "hash,"),
      "there is no column for the address",
    ],
    ["with a line of other columns", "csv", `${good}anna@example.nl\n`, "columns of the first"],
    ["with a dump that is cut short", "postfixadmin", dump.slice(0, dump.indexOf("Bram")), "cut short"],
    ["with a copy that is cut short", "postfixadmin", copy.slice(0, copy.indexOf("Bram")), "cut short"],
    [
      "with a dump without structure",
      "postfixadmin",
      dump.replace("CREATE TABLE `mailbox`", "-- "),
      "does not describe",
    ],
    ["with a file of another name", "docker-mailserver", "jan@example.nl|x\n", "no such file"],
    ["with an answer that is not JSON", "mailcow", "[{", "not JSON"],
  ])("%s", async (_what, from, text, said) => {
    const { shell, must, file } = database();
    const path = join(file, "..", "file");
    writeFileSync(path, text);
    const { code, stdout, stderr } = await shell("import", path, "--from", from);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(said);
    expect(await must("list-domains")).toMatchObject({ total: 0 });
  });

  test("when it is not UTF-8, cannot be read, or is from a system that nobody knows", async () => {
    const { shell, file } = database();
    const path = join(file, "..", "latin.csv");
    writeFileSync(path, Buffer.from("email,password\njan@example.nl,caf\xe9 caf\xe9\n", "latin1"));
    expect(await shell("import", path, "--from", "csv")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("iconv"),
    });
    expect(await shell("import", `${path}x`, "--from", "csv")).toMatchObject({ code: 2 });
    expect(await shell("import", path, "--from", "exim")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("passwd-file"),
    });
  });
});

test("a password in any place of a file is never shown", async () => {
  const canary = "Canary!Hunter22#secret";
  const files: Record<string, string[]> = {
    csv: [
      `email,password,quota_mb,active\n${canary},${canary},${canary},${canary}\n`,
      `email,password,quota_mb,active\njan@example.nl,${canary},1,${canary}\n`,
      `email,${canary}\njan@example.nl,x\n`,
      `email,password\njan@${canary},${canary}\n${canary}@example.nl,{${canary}}\njan@example.nl,{SSHA}${canary}\n`,
      `email,password\njan@example.nl,"${canary}\n`,
    ],
    "passwd-file": [
      `${canary}:${canary}:::::\njan@example.nl:{${canary}}${canary}:::::\n`,
      `jan@example.nl:x::::::userdb_quota_storage_size=${canary}\n`,
    ],
    "docker-mailserver": [`${canary}|${canary}\n`],
    postfixadmin: [`username,password,quota\n${canary},${canary},${canary}\n`, `${canary}\n`],
    mailcow: [`[{"username":"${canary}","password":"${canary}","quota":"${canary}"}]`, `{"${canary}`],
  };
  const { shell, file } = database();
  for (const [from, texts] of Object.entries(files)) {
    for (const text of texts) {
      const path = join(file, "..", "postfix-accounts.cf");
      writeFileSync(path, text);
      const { stdout, stderr } = await shell("import", path, "--from", from, "--unlimited-as", "1", "--json");
      expect(`${stdout}${stderr}`, text).not.toContain(canary);
    }
  }
  const audited = JSON.stringify(rawDatabase(file).prepare("SELECT * FROM audit_log").all());
  expect(audited).toContain("import");
  expect(audited).not.toContain(canary);
});

test("each active mailbox that needs a new password gets a link, in a new file that only its owner can read", async () => {
  const { file } = database();
  const links = join(temporaryFolder(), "links.csv");
  const flags = ["--from", "postfixadmin", "--unlimited-as", "500", "--links-to", links];
  const run = (publicUrl: Record<string, string>, ...more: string[]) => {
    const args = ["import", ...sample("postfixadmin/postfix.mysql.sql"), ...flags, ...more];
    return runOn(file, args, publicUrl);
  };
  const without = await run({});
  expect(without).toMatchObject({ code: 1, stdout: "", stderr: expect.stringMatching(/^no_public_url: /) });
  expect(existsSync(links)).toBe(false);
  expect((await run(LINKS, "--dry-run")).code).toBe(0);
  expect(existsSync(links)).toBe(false);

  const done = await run(LINKS);
  expect(done).toMatchObject({ code: 0, stderr: "" });
  expect(readFileSync(links, "utf8")).toMatch(
    /^email,url,expires_at\ncarla@bakkerij.example,https:\/\/mail.example\/password\/\S+,20\S+Z\n$/,
  );
  expect(statSync(links).mode & 0o777).toBe(0o600);
  const [, token = ""] = /\/password\/([^,]+)/.exec(readFileSync(links, "utf8")) ?? [];
  expect(done.stdout + (await runOn(file, ["audit"])).stdout).not.toContain(token);
  const again = await run(LINKS);
  expect(again).toMatchObject({ code: 2, stdout: "", stderr: expect.stringContaining("exists already") });
});

test.skipIf(process.getuid?.() !== 0)(
  "links that a full disk cut off are made by the same import again, with an earlier one's ended (needs root)",
  async () => {
    const { file } = testStore();
    const folder = temporaryFolder();
    const disk = join(folder, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", disk]);
    onTestFinished(() => void execFileSync("umount", [disk]));
    const list = join(folder, "list.csv");
    const emails = Array.from({ length: 60 }, (_, number) => `u${number}@a.nl`);
    writeFileSync(list, `email,quota_mb\n${emails.map((email) => `${email},100\n`).join("")}`);
    const run = (links: string) => runOn(file, ["import", list, "--from", "csv", "--links-to", links], LINKS);
    const cut = join(disk, "links.csv");
    expect(await run(cut)).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/^unavailable: /),
    });
    const whole = join(folder, "links.csv");
    expect(await run(whole)).toMatchObject({ code: 0, stderr: "" });
    const linksIn = (text: string) => [...text.matchAll(/^(\S+),https:\S+\/password\/(\S+),20\S+Z$/gm)];
    const made = linksIn(readFileSync(whole, "utf8"));
    expect(made.map(([, email]) => email).sort()).toEqual([...emails].sort());
    const count = rawDatabase(file).prepare("SELECT count(*) FROM password_links").pluck().get();
    expect([count, linksIn(readFileSync(cut, "utf8")).length > 0]).toEqual([60, true]);
  },
);

test("a mailbox of an earlier import gets a link only while nobody has chosen its password", async () => {
  const { must, file } = testStore();
  const folder = temporaryFolder();
  await must("add-domain", { domain: "a.nl" });
  const list = join(folder, "list.csv");
  writeFileSync(list, "email,quota_mb\nnew@a.nl,100\nset@a.nl,100\nblocked@a.nl,100\ngone@a.nl,100\n");
  const run = async (links: string) => {
    const flags = ["--from", "csv", "--links-to", join(folder, links), "--json"];
    const { stdout } = await runOn(file, ["import", list, ...flags], LINKS);
    const emails = readFileSync(join(folder, links), "utf8").match(/^\S+@[^,]+/gm);
    return { mailboxes: JSON.parse(stdout).mailboxes as Planned[], emails };
  };
  expect((await run("first")).emails).toHaveLength(4);
  for (const email of ["set@a.nl", "blocked@a.nl"])
    await must("update-password", { email, password: PASSWORD });
  await must("set-user", { email: "blocked@a.nl", login: "off" });
  await must("remove-user", { email: "gone@a.nl" });
  const { emails, mailboxes } = await run("second");
  expect(emails).toEqual(["new@a.nl"]);
  expect(mailboxes.map(({ outcome }) => outcome)).toEqual([
    "new_password",
    "left_out",
    "left_out",
    "left_out",
  ]);
});

test("a mailbox whose login was off, or never had a password, needs a link after an export and an import", async () => {
  const [from, to] = [database(), database()];
  const [list, links] = [join(temporaryFolder(), "list.csv"), join(temporaryFolder(), "links.csv")];
  await from.must("add-domain", { domain: "a.nl" });
  for (const email of ["new@a.nl", "off@a.nl", "jan@a.nl"])
    await from.must("add-user", { email, password: PASSWORD });
  rawDatabase(from.file).prepare("UPDATE users SET password_hash = ? WHERE local_part = 'new'").run(NO_LOGIN);
  await from.must("set-user", { email: "off@a.nl", login: "off" });
  expect((await from.shell("export", list, "--with-hashes")).code).toBe(0);
  const flags = ["--from", "csv", "--links-to", links, "--json"];
  const { stdout } = await runOn(to.file, ["import", list, ...flags], LINKS);
  const { mailboxes } = JSON.parse(stdout);
  expect(to.addressed(mailboxes, "taken")).toEqual(["jan@a.nl"]);
  expect(mailboxes.map(({ reason }: Planned) => reason)).toEqual([
    undefined,
    "its login is off there, or nobody has chosen its password yet",
    "its login is off there, or nobody has chosen its password yet",
  ]);
  expect(readFileSync(links, "utf8").match(/^\S+@[^,]+/gm)).toEqual(["new@a.nl", "off@a.nl"]);
});

test("a dump's value of many megabytes is read, and two columns of the same meaning are refused", async () => {
  const { runtime } = testStore();
  const folder = temporaryFolder();
  const dump = join(folder, "dump.sql");
  writeFileSync(
    dump,
    `CREATE TABLE \`mailbox\` (\n  \`username\` text,\n  \`password\` text,\n  \`quota\` int\n);\n` +
      `INSERT INTO \`mailbox\` VALUES ('big@a.nl','${"a".repeat(40_000_000)}',1048576),('jan@a.nl','',1048576);\n`,
  );
  const { mailboxes } = await importFiles(runtime, [dump], { from: "postfixadmin", isDry: true });
  expect(mailboxes.map(({ name }) => name)).toEqual(["big@a.nl", "jan@a.nl"]);
  const csv = join(folder, "list.csv");
  writeFileSync(csv, "email,quota_mb,username\njan@a.nl,100,piet@a.nl\n");
  await expect(importFiles(runtime, [csv], { from: "csv" })).rejects.toThrow(/columns 1 and 3/);
});

describe("aliases of", () => {
  const lines = (planned: readonly Planned[]) =>
    planned.map(({ name, outcome, reason }) => `${name} ${outcome}${reason ? `: ${reason}` : ""}`);
  const fiets = [
    "winkel@fiets.example taken",
    "@fiets.example taken",
    "weg@fiets.example left_out: none of its targets is an address",
    "leer@fiets.example left_out: none of its targets is an address",
    "buiten@fiets.example taken: chef@elders.example waits for approval",
    "sjaan.oud@fiets.example taken",
  ];
  const bakkerij = [
    "anna@bakkerij.example taken: anna.privat@gmail.example waits for approval",
    "info@bakkerij.example taken",
    "@bakkerij.example taken",
    "postmaster@bakkerij.example left_out: none of its targets is an address",
    "verkoop@molen.example taken",
    "weg@molen.example taken: niemand@molen.example does not exist",
    "lus1@molen.example taken: it leads back to itself",
    "lus2@molen.example taken: it leads back to itself",
    "uit@molen.example left_out: it is inactive there",
    "vakantie@molen.example taken: 1 of its targets is not an address, and is left out",
  ];
  const bakkerijDomains = [
    "bakkerijhoekje.example taken",
    "oudebakkerij.example left_out: it is inactive there",
  ];
  const rijwiel = ["rijwiel.example taken"];
  test.each([
    ["postfixadmin", sample("postfixadmin/postfix.mysql.sql"), bakkerij, bakkerijDomains],
    ["postfixadmin", sample("postfixadmin/postfix.pgsql.sql"), bakkerij, bakkerijDomains],
    ["mailcow", sample("mailcow/mailcow.mysql.sql"), fiets, rijwiel],
    [
      "docker-mailserver",
      sample("docker-mailserver/postfix-accounts.cf", "docker-mailserver/postfix-virtual.cf"),
      [
        "verhuur@hut.example taken",
        "allen@hut.example taken",
        "extern@hut.example taken: iemand@elders.example waits for approval",
        "@hut.example taken",
      ],
      ["hutje.example taken"],
    ],
  ])("%s %j come with it, and the plan says which do not and why", async (from, files, aliases, domains) => {
    const { shell, json, must, file } = database();
    const flags = ["import", ...files, "--from", from, "--unlimited-as", "500"];
    expect((await shell(...flags, "--dry-run")).stdout).toMatch(
      /\nAliases: taken \d+, left out \d+\n1 target elsewhere gets no mail until you approve it: /,
    );
    const done = await json(...flags);
    expect(lines(done.aliases)).toEqual(aliases);
    expect(lines(done.domain_aliases)).toEqual(domains);
    expect(done.waiting_targets).toBe(1);
    const listed = (await must("list-aliases")) as { aliases: { address: string }[]; total: number };
    const taken = aliases.filter((line) => / taken/.test(line)).map((line) => line.split(" ")[0]);
    expect(listed.aliases.map(({ address }) => address).sort()).toEqual(taken.sort());
    const raw = rawDatabase(file);
    expect(kept(raw)).toEqual(recount(raw));
    expect(await json(...flags)).toMatchObject({ revision: done.revision, waiting_targets: 0 });
  });

  test("a list lead elsewhere only with --approve-outside, and are counted for the audit log", async () => {
    const { json, must, file } = database();
    const path = join(file, "..", "list.csv");
    writeFileSync(
      path,
      "email,quota_mb,targets,waiting_targets,send_as\njan@a.nl,5,,,\n@b.nl,,@a.nl,,\n" +
        'Info@a.nl,,"Jan@b.nl, boss@out.nl",thief@out.nl,true\n@a.nl,,jan@a.nl,,\njan@a.nl,,x@out.nl jan@a.nl,,false\n',
    );
    expect((await json("import", path, "--from", "csv", "--dry-run")).waiting_targets).toBe(3);
    const done = await json("import", path, "--from", "csv", "--approve-outside");
    expect(done).toMatchObject({ waiting_targets: 1, revision: 1 });
    expect(await must("list-aliases")).toMatchObject({
      aliases: [
        { address: "@a.nl", live_targets: ["jan@a.nl", "x@out.nl"] },
        {
          address: "info@a.nl",
          live_targets: ["boss@out.nl", "jan@a.nl", "x@out.nl"],
          pending_targets: ["thief@out.nl"],
          send_as: true,
        },
        { address: "jan@a.nl", live_targets: ["jan@a.nl", "x@out.nl"], send_as: false },
      ],
      domain_aliases: [{ domain: "b.nl", of: "a.nl" }],
    });
    const audited = JSON.stringify(await must("read-audit"));
    expect(audited).toContain('"alias_count":3');
    expect(audited).not.toContain("thief");
  });

  test("a list are refused whole if they are one long chain", async () => {
    const { runtime, must, file } = database();
    const path = join(file, "..", "list.csv");
    const rows = Array.from({ length: 5000 }, (_, number) => `x${number}@a.nl,,x${number + 1}@a.nl\n`);
    writeFileSync(path, `email,quota_mb,targets\n${rows.join("")}`);
    for (const isDry of [true, false])
      await expect(importFiles(runtime, [path], { from: "csv", isDry })).rejects.toThrow(
        /More than 100 aliases would lead/,
      );
    expect(await must("list-domains")).toMatchObject({ total: 0 });
  });

  test("a list are refused whole if too many lead to one mailbox", async () => {
    const { shell, must, file } = database();
    const path = join(file, "..", "list.csv");
    const rows = Array.from({ length: 1001 }, (_, number) => `x${number}@a.nl,,jan@a.nl\n`);
    writeFileSync(path, `email,quota_mb,targets\njan@a.nl,5,\n${rows.join("")}`);
    expect((await shell("import", path, "--from", "csv")).stderr).toMatch(
      /More than 1000 aliases would lead/,
    );
    expect(await must("list-domains")).toMatchObject({ total: 0 });
  });
});
