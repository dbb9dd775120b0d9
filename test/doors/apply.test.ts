import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { databaseAt } from "../support/engine.ts";
import { expectRefusal } from "../support/outcome.ts";
import { m25mail } from "../support/program.ts";
import { kept, rawDatabase, recount } from "../support/recount.ts";
import { fakeHash, PASSWORD, temporaryFolder, testStore } from "../support/store.ts";

const FILE = `
domains: [example.nl, example.org]
mailboxes:
  - email: jan@example.nl
    password_hash: "${fakeHash("one")}"
    quota_mb: 2048
  - { email: piet@example.org, password_hash: "${fakeHash("two")}" }
`;

/** A database, a file to apply, and what runs at its shell. */
function shop() {
  const { file: database } = testStore();
  const file = join(temporaryFolder(), "mail.yml");
  const run = async (...args: string[]) => m25mail([...args, "--db", await databaseAt(database)]);
  const apply = (text: string, ...flags: string[]) => {
    writeFileSync(file, text);
    return run("apply", file, ...flags);
  };
  const users = () =>
    rawDatabase(database)
      .prepare(
        "SELECT local_part || '@' || name || ' ' || quota_mb || ' ' || active FROM users JOIN domains ON domains.id = domain_id ORDER BY 1",
      )
      .pluck()
      .all();
  return { database, run, apply, users };
}

test("a file is applied after a plan, and again it changes nothing", async () => {
  const { database, run, apply, users } = shop();
  await run("call", "add-domain", "--domain", "example.org");
  const lines = [
    "added     example.nl",
    "added     jan@example.nl",
    "added     piet@example.org",
    "Mailboxes: added 2",
    "",
  ];
  const plan = await apply(FILE, "--dry-run");
  expect(plan).toEqual({
    code: 0,
    stderr: "",
    stdout: [...lines.slice(0, 4), "Nothing was changed.", ""].join("\n"),
  });
  expect(users()).toEqual([]);
  expect(await apply(FILE)).toEqual({ code: 0, stderr: "", stdout: lines.join("\n") });
  expect(users()).toEqual(["jan@example.nl 2048 1", "piet@example.org 1024 1"]);
  const before = kept(rawDatabase(database));
  expect((await apply(FILE)).stdout).toBe("Mailboxes: unchanged 2\n");
  expect(kept(rawDatabase(database))).toEqual(before);
  expect(before).toEqual(recount(rawDatabase(database)));
});

test("what the file says differently changes; what it leaves out stays", async () => {
  const { run, apply, users } = shop();
  await apply(FILE);
  await run("call", "remove-user", "--email", "piet@example.org");
  const json = JSON.stringify({
    domains: ["example.nl", "example.org"],
    mailboxes: [
      { email: "jan@example.nl", quota_mb: 5, password_hash: fakeHash("three") },
      { email: "piet@example.org" },
    ],
  });
  expect((await apply(json)).stdout).toBe(
    [
      "changed   jan@example.nl: quota 2048 to 5 MiB, new password",
      "changed   piet@example.org: restored",
      "Mailboxes: changed 2",
      "",
    ].join("\n"),
  );
  const less = "domains: [example.nl]\nmailboxes: [{email: jan@example.nl, active: false}]";
  expect((await apply(less)).stdout).toMatch(
    /^removed {3}jan@example.nl: soft-deleted\nMailboxes: removed 1\n/,
  );
  expect(users()).toEqual(["jan@example.nl 5 0", "piet@example.org 1024 1"]);
});

const ALIASES = `
domains: [example.nl]
domain_aliases: [{domain: further.nl, of: example.nl}]
mailboxes:
  - { email: jan@example.nl, password_hash: "${fakeHash("one")}" }
aliases:
  - { address: info@example.nl, targets: [sales@further.nl, boss@out.nl], send_as: true }
  - { address: sales@example.nl, targets: [jan@example.nl, jan@example.nl] }
  - { address: "@example.nl", targets: [jan@example.nl] }
`;

test("aliases and domain aliases are applied, and a target elsewhere waits until somebody approves it", async () => {
  const { database, run, apply } = shop();
  const listed = async () => JSON.parse((await run("call", "list-aliases", "--json")).stdout);
  const lines = [
    "added     example.nl",
    "added     further.nl: of example.nl",
    "added     jan@example.nl",
    "added     info@example.nl: boss@out.nl waits for approval",
    "added     sales@example.nl",
    "added     @example.nl",
    "Mailboxes: added 1",
    "Aliases: added 3",
    "1 target elsewhere gets no mail until you approve it: m25-mail alias list-waiting, or --approve-outside here",
    "",
  ];
  expect((await apply(ALIASES, "--dry-run")).stdout).toBe(
    [...lines.slice(0, -1), "Nothing was changed.", ""].join("\n"),
  );
  expect(await apply(ALIASES)).toEqual({ code: 0, stderr: "", stdout: lines.join("\n") });
  const before = kept(rawDatabase(database));
  expect(before).toEqual(recount(rawDatabase(database)));
  expect((await apply(ALIASES)).stdout).toBe("Mailboxes: unchanged 1\nAliases: unchanged 3\n");
  expect(kept(rawDatabase(database))).toEqual(before);
  expect(await listed()).toMatchObject({
    aliases: [{}, { live_targets: ["jan@example.nl"], pending_targets: ["boss@out.nl"], send_as: true }, {}],
    domain_aliases: [{ domain: "further.nl", of: "example.nl" }],
  });
});

test("aliases change to what the file says, keep what a person approved, and go with --prune", async () => {
  const { database, run, apply } = shop();
  const listed = async () => JSON.parse((await run("call", "list-aliases", "--json")).stdout);
  await apply(ALIASES);
  await run("alias", "approve", "info@example.nl", "--target", "boss@out.nl", "--yes");
  expect((await apply(ALIASES)).stdout).toContain("Aliases: unchanged 3\n");
  const other = ALIASES.replace("jan@example.nl, jan@example.nl", "piet@out.nl").replace(
    ", send_as: true",
    "",
  );
  expect((await apply(other, "--approve-outside")).stdout).toBe(
    [
      "changed   info@example.nl: may no longer send",
      "changed   sales@example.nl: to piet@out.nl, no longer to jan@example.nl",
      "Mailboxes: unchanged 1",
      "Aliases: changed 2, unchanged 1",
      "",
    ].join("\n"),
  );
  expect(await listed()).toMatchObject({
    aliases: [{}, { live_targets: ["boss@out.nl", "piet@out.nl"], send_as: false }, {}],
  });

  const less = "domains: [example.nl]\nmailboxes: [{email: jan@example.nl}]";
  expect((await apply(less)).stdout).toBe("Mailboxes: unchanged 1\n");
  const asked = await apply(less, "--prune");
  expect(asked.stderr).toContain(
    "This removes 4: further.nl, @example.nl, info@example.nl, sales@example.nl.",
  );
  expect((await apply(less, "--prune", "--yes")).stdout).toContain("Aliases: removed 3\n");
  expect(await listed()).toMatchObject({ aliases: [], domain_aliases: [] });
  expect(kept(rawDatabase(database))).toEqual(recount(rawDatabase(database)));
});

test("aliases of a file may change places, and may not lead back through one that the file lacks", async () => {
  const { run, apply } = shop();
  const file = (...aliases: string[]) =>
    `domains: [a.nl]\nmailboxes: [{email: jan@a.nl, password_hash: "${fakeHash("one")}"}]\naliases: [${aliases.join(", ")}]`;
  const to = (address: string, target: string) => `{address: ${address}@a.nl, targets: [${target}@a.nl]}`;
  expect((await apply(file(to("one", "two"), to("two", "jan")))).code).toBe(0);
  expect((await apply(file(to("two", "one"), to("one", "jan")))).stdout).toContain("Aliases: changed 2\n");
  const back = await apply(file(to("one", "two")));
  expect(back).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("one@a.nl: it leads back to itself."),
  });
  const forwarded = "{address: jan@a.nl, targets: [jan@out.nl]}";
  expect((await apply(file(forwarded), "--approve-outside")).code).toBe(0);
  expect((await apply(file(to("new", "jan")))).stdout).toContain(
    "added     new@a.nl: jan@a.nl waits for approval\n",
  );
  expect((await apply(file(to("two", "jan")), "--prune", "--yes")).code).toBe(0);
  expect(JSON.parse((await run("call", "list-aliases", "--json")).stdout)).toMatchObject({
    aliases: [{ address: "two@a.nl", targets: ["jan@a.nl"] }],
  });
});

test("--approve-outside approves a target whose domain alias the same file leaves out", async () => {
  const { run, apply } = shop();
  const aliases = async () => JSON.parse((await run("call", "list-aliases", "--json")).stdout);
  const file = (...more: string[]) =>
    [
      `domains: [a.nl]\nmailboxes: [{email: jan@a.nl, password_hash: "${fakeHash("one")}"}]`,
      "aliases: [{address: info@a.nl, targets: [jan@b.nl]}]",
      ...more,
    ].join("\n");
  const before = file("domain_aliases: [{domain: b.nl, of: a.nl}]");
  expect((await apply(before, "--approve-outside")).code).toBe(0);
  expect(await aliases()).toMatchObject({ aliases: [{ live_targets: ["jan@a.nl"] }] });
  const prune = ["--approve-outside", "--prune", "--yes"];
  expect((await apply(file(), ...prune)).stdout).toContain(
    "removed   b.nl: was of a.nl\nchanged   info@a.nl: jan@b.nl is approved\n",
  );
  expect(await aliases()).toMatchObject({ aliases: [{ live_targets: ["jan@b.nl"] }] });
  expect((await apply(file(), ...prune)).stdout).toContain("Aliases: unchanged 1\n");
});

test("--prune takes out what the file leaves out, if somebody says yes", async () => {
  const { run, apply, users } = shop();
  await apply(FILE);
  await run("call", "add-domain", "--domain", "empty.nl");
  const less = "domains: [example.nl]\nmailboxes: [{email: jan@example.nl}]";
  const asked = await apply(less, "--prune");
  expect(asked).toMatchObject({ code: 2, stdout: "" });
  expect(asked.stderr).toMatch(/^This removes 2: empty.nl, piet@example.org. .*--yes/);
  expect(users()).toHaveLength(2);
  expect((await apply(less, "--prune", "--yes")).stdout).toBe(
    [
      "removed   empty.nl",
      "kept      example.org: it has mailboxes, active or soft-deleted; m25-mail domain remove removes it for good",
      "removed   piet@example.org: soft-deleted",
      "Mailboxes: unchanged 1, removed 1",
      "",
    ].join("\n"),
  );
  expect(users()).toEqual(["jan@example.nl 2048 1", "piet@example.org 1024 0"]);
  expect((await apply(less, "--prune")).stdout).toMatch(/\nMailboxes: unchanged 1\n$/);
});

test.each<[what: string, text: string, problem: RegExp]>([
  [
    "a new mailbox without a hash",
    "domains: [a.nl]\nmailboxes: [{email: x@a.nl}]",
    /x@a.nl: it is new and has no password_hash/,
  ],
  [
    "a hash that nodes refuse",
    "domains: [a.nl]\nmailboxes: [{email: x@a.nl, password_hash: '{SHA}c2VjcmV0'}]",
    /no salt/,
  ],
  [
    "a clear password as a hash",
    "domains: [a.nl]\nmailboxes: [{email: x@a.nl, password_hash: '{PLAIN}c2VjcmV0'}]",
    /clear text/,
  ],
  [
    "a clear password",
    "domains: [a.nl]\nmailboxes: [{email: x@a.nl, password: c2VjcmV0}]",
    /entry 1: there is an unknown field.\n.*password_hash/,
  ],
  [
    "a domain that is not listed",
    "mailboxes: [{email: x@a.nl}]",
    /x@a.nl: because of its domain: it is not listed/,
  ],
  [
    "an address twice",
    "domains: [example.nl]\nmailboxes: [{email: jan@example.nl}, {email: jan@example.nl}]",
    /jan@example.nl: it occurs twice\.\n/,
  ],
  ["another form", "mailboxes: c2VjcmV0", /mailboxes: it is missing, or of the wrong kind/],
  ["no YAML", "domains: [a.nl\nmailboxes: c2VjcmV0: {", /not valid YAML in line \d/],
  ["an unknown tag", "mailboxes: [{email: x@a.nl, password_hash: !crypt c2VjcmV0}]", /x@a.nl/],
  ...(
    [
      [
        "a target that does not exist",
        "{address: x@example.nl, targets: [jna@example.nl]}",
        /x@example.nl: jna@example.nl does not exist/,
      ],
      [
        "a target that is no address",
        "{address: x@example.nl, targets: [c2VjcmV0, jan@example.nl]}",
        /not each of its targets is an address/,
      ],
      ["an alias without targets", "{address: x@example.nl, targets: []}", /x@example.nl: it has no targets/],
      [
        "a catch-all that may send",
        "{address: '@example.nl', targets: [jan@example.nl], send_as: true}",
        /nobody the right to send/,
      ],
      [
        "an alias of another domain",
        "{address: x@b.nl, targets: [jan@example.nl]}",
        /x@b.nl: because of its domain/,
      ],
      [
        "an alias that is no address",
        "{address: c2VjcmV0, targets: [jan@example.nl]}",
        /aliases, entry 1: its address is not valid/,
      ],
      [
        "an alias without its targets' list",
        "{address: x@example.nl}",
        /aliases, entry 1: targets is missing/,
      ],
    ] as const
  ).map(([what, alias, problem]): [string, string, RegExp] => [
    what,
    `domains: [example.nl]\naliases: [${alias}]`,
    problem,
  ]),
  [
    "a domain alias of a domain that is not listed",
    "domains: [example.nl]\ndomain_aliases: [{domain: b.nl, of: a.nl}]",
    /b.nl: because of its domain: it is not listed/,
  ],
  [
    "a domain that is a domain alias, too",
    "domains: [example.nl, b.nl]\ndomain_aliases: [{domain: b.nl, of: example.nl}]",
    /b.nl: it is a domain with addresses of its own/,
  ],
  ["a public provider's domain", "domains: [gmail.com]", /gmail.com: it is a public mail provider's/],
])("%s is refused, nothing is changed, and no password is repeated", async (_what, text, problem) => {
  const { database, run, apply } = shop();
  await apply(FILE);
  const before = kept(rawDatabase(database));
  const { code, stdout, stderr } = await apply(text);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(problem);
  expect(stderr).toContain("Nothing was changed.");
  expect(stderr + (await run("audit")).stdout).not.toContain("c2VjcmV0");
  expect(kept(rawDatabase(database))).toEqual(before);
});

test("a removal that was confirmed for one plan is not carried out for another", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const input = {
    file: "mail.yml",
    mailbox_count: 0,
    domains: [],
    prune: true,
    mailboxes_with_passwords: [],
  };
  const plan = await must("plan-apply", input);
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expectRefusal(await run("apply", { ...input, plan_revision: plan.revision }), "busy");
  expect(await must("list-users")).toMatchObject({ users: [{ active: true }] });
});
