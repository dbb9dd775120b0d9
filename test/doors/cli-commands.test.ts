import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import packageJson from "../../package.json" with { type: "json" };
import { storeCommand } from "../../src/doors/cli/commands.ts";
import { commandHelp } from "../../src/doors/cli/help.ts";
import { type Usage, usages } from "../../src/doors/cli/usage.ts";
import { tools } from "../../tools/index.ts";
import { ENTRY, m25mail } from "../support/program.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

async function shell() {
  const database = join(temporaryFolder(), "m25-mail.db");
  const store = openStore(database, { create: true });
  const { must } = testRuntime(store);
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await must("add-node", { name: "pi" });
  await store.close();
  return (...args: string[]) => m25mail([...args, "--db", database]);
}

test("token create prints only the token, and list does not contain it", async () => {
  const run = await shell();
  const created = await run("token", "create", "claude", "--scopes", "read,write", "--expires", "90d");
  expect(created).toMatchObject({ code: 0, stderr: "" });
  expect(created.stdout).toMatch(/^m25tok_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  const listed = await run("token", "list", "--json");
  expect(JSON.parse(listed.stdout)).toMatchObject({
    tokens: [
      { name: "claude", scopes: ["read", "write"], expires_at: expect.any(String), last_used_at: null },
    ],
  });
  expect(listed.stdout).not.toContain(created.stdout.trim());
  expect((await run("token", "list")).stdout).toMatch(/^claude {2}read,write {2}all /m);
  expect(await run("token", "revoke", "claude")).toMatchObject({ code: 0, stdout: "claude is revoked\n" });
  expect(await run("token", "revoke", "claude")).toMatchObject({ code: 1, stdout: "" });
  expect(await run("token", "create", "claude", "--scopes", "admin")).toMatchObject({ code: 1, stdout: "" });
});

test("nodes are listed and removed", async () => {
  const run = await shell();
  expect((await run("node", "list")).stdout).toMatch(
    /^name +role.* version .*domains\npi +mail .*all\nrevision: \d+\ntotal: 1\npi: The node has not/,
  );
  const { nodes } = JSON.parse((await run("node", "list", "--json")).stdout);
  expect(nodes).toMatchObject([{ name: "pi", domains: null, behind_by: null, hint: expect.any(String) }]);
  expect((await run("node", "accept", "pi")).stdout).toMatch(/^names: pi\n[\s\S]*\nnot_arrived: pi\n$/);
  expect((await run("node", "remove", "pi")).stdout).toMatch(/^pi is removed: [^\n]*\n$/);
  expect((await run("node", "list")).stdout).toContain("no nodes");
  expect((await run("node", "accept", "--all")).stdout).not.toContain("not_arrived");
  expect((await run("node", "remove", "pi")).stderr).toMatch(/^node_not_found/);
});

test("the command that node remove prints gives the node its limits again once it is added again", async () => {
  const run = await shell();
  const limited = await run(
    "node",
    "set",
    "pi",
    "--role",
    "mx",
    "--domains",
    "example.nl",
    "--ip",
    "192.0.2.7",
  );
  const { stdout } = await run("node", "remove", "pi");
  const command = /before it joins: m25-mail (.*)\n$/.exec(stdout)?.[1] ?? "";
  expect(await run("call", "add-node", "--name", "pi")).toMatchObject({ code: 0 });
  expect(await run(...command.split(" "))).toEqual(limited);
});

test("node rotate-key prints the key alone on stdout, and on stderr how to bring it to the node", async () => {
  const run = await shell();
  const { stdout, stderr } = await run("node", "rotate-key", "pi");
  expect(stdout).toMatch(/^m25key_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  expect(stderr).toMatch(
    /ends.*20\d\d-.*rm -f \/etc\/m25-mail-node\/key && m25-mail-node join\. .*\n\napt-get .* m25-mail-node setup --server URL\n$/s,
  );
  expect(stderr).not.toContain("m25key_");
  const json = await run("node", "rotate-key", "pi", "--json");
  expect(json.stderr).toBe("");
  const { sync_key, ...rest } = JSON.parse(json.stdout);
  expect(sync_key).toMatch(/^m25key_/);
  expect(rest).toEqual({ name: "pi", old_key_ends_at: expect.any(String), next_step: stderr.trimEnd() });
});

test("node set prints all settings of the node, and refuses to set nothing", async () => {
  const run = await shell();
  expect(await run("node", "set", "pi", "--role", "mx")).toEqual({
    code: 0,
    stdout: "name: pi\ndomains: all\nrole: mx\nip_address: any\n",
    stderr: "",
  });
  await run("node", "set", "pi", "--domains", "example.nl", "--ip", "192.0.2.0/24");
  const limited = "domains: example.nl\nrole: mail\nip_address: 192.0.2.0/24\n";
  expect((await run("node", "set", "pi", "--role", "mail")).stdout).toBe(`name: pi\n${limited}`);
  const json = await run("node", "set", "pi", "--ip", "any", "--domains", "all", "--json");
  expect(JSON.parse(json.stdout)).toEqual({ name: "pi", domains: null, role: "mail", ip_address: null });
  expect((await run("node", "list")).stdout).toMatch(/^pi +mail +any .* all$/m);
  const nothing = await run("node", "set", "pi");
  expect(nothing).toMatchObject({ code: 2, stdout: "" });
  expect(nothing.stderr).toMatch(/--domains, --role and --ip.*node list.*\nSee: m25-mail node set --help\n$/);
});

test("node list has pages, and can show the nodes of one status only", async () => {
  const run = await shell();
  await run("call", "add-node", "--name", "mx1");
  const first = JSON.parse((await run("node", "list", "--limit", "1", "--json")).stdout);
  expect(first).toMatchObject({ nodes: [{ name: "mx1" }], total: 2, next_cursor: expect.any(String) });
  const rest = await run("node", "list", "--limit", "1", "--cursor", first.next_cursor);
  expect(rest.stdout).toMatch(/^pi .*\nrevision: 2\ntotal: 2\npi: The node has not joined yet/m);
  expect((await run("node", "list", "--limit", "1")).stdout).toContain(`next_cursor: ${first.next_cursor}\n`);
  expect((await run("node", "list", "--status", "failing")).stdout).toMatch(/^no nodes\n/);
  for (const [flag, value] of [
    ["--limit", "0"],
    ["--status", "broken"],
    ["--cursor", "?"],
  ] as const) {
    const { code, stderr } = await run("node", "list", flag, value);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(`${flag}: `) });
  }
});

test("a mailbox gets another quota, and is restored with its old password", async () => {
  const run = await shell();
  expect((await run("user", "set", "jan@example.nl", "--quota-mb", "50", "--json")).stdout).toContain(
    '"quota_mb":50',
  );
  expect(await run("user", "set", "jan@example.nl", "--quota-mb", "0")).toMatchObject({
    code: 1,
    stdout: "",
  });
  expect((await run("user", "restore", "jan@example.nl")).stderr).toMatch(/^user_active/);
  await run("call", "remove-user", "--email", "jan@example.nl");
  expect(await run("user", "restore", "jan@example.nl")).toMatchObject({ code: 0 });
});

test("a mailbox is shown for a person and for programs, and the look is no change", async () => {
  const run = await shell();
  expect(await run("user", "show", "jan@example.nl")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^email: jan@example.nl\nstate: active\nlogin: on\nquota_mb: \d+\nrecipients_per_hour: default\nrecipients_per_day: default\nfirst_time_recipients_per_day: default\nid: (..)(.{14})\nhome: \/var\/vmail\/\1\/\1\2\nno aliases\nno roles\ncreated_at: \S+\nupdated_at: \S+\n$/,
    ),
  });
  const { stdout } = await run("user", "show", "jan@example.nl", "--json");
  expect(JSON.parse(stdout)).toMatchObject({ email: "jan@example.nl", aliases: [] });
  expect((await run("user", "show", "piet@example.nl")).stderr).toMatch(/^user_not_found/);
  expect((await run("audit")).stdout).not.toMatch(/show-user jan/);
});

test("without an address, alias postmaster shows who gets postmaster@ and abuse@, and so does that mailbox", async () => {
  const run = await shell();
  expect((await run("alias", "postmaster")).stdout).toMatch(/^address: none\n/);
  await run("alias", "postmaster", "jan@example.nl");
  expect((await run("alias", "postmaster")).stdout).toMatch(/^address: jan@example.nl\n/);
  expect((await run("user", "show", "jan@example.nl")).stdout).toContain(
    "\nno aliases\nroles: postmaster@, abuse@\n",
  );
  expect((await run("user", "rename", "jan@example.nl", "piet@example.nl")).stdout).toContain(
    "\naliases: postmaster@, abuse@\n",
  );
  await run("alias", "postmaster", "none");
  expect((await run("user", "show", "piet@example.nl")).stdout).toContain("\nno roles\n");
});

test("a target outside is approved once, and then is approved already", async () => {
  const run = await shell();
  await run("call", "set-alias", "--address", "info@example.nl", "--targets", "me@home.example");
  const approve = ["alias", "approve", "info@example.nl", "--target", "me@home.example", "--yes"];
  expect(await run(...approve)).toMatchObject({ code: 0 });
  for (const again of [approve, ["alias", "approve", "info@example.nl"]]) {
    expect((await run(...again)).stderr).toMatch(
      /^alias_not_found: No target of info@example.nl waits: me@home.example is approved already\.\nNothing/,
    );
  }
});

test("a quota is refused in words that name its unit", async () => {
  const run = await shell();
  expect(await run("user", "set", "jan@example.nl", "--quota-mb", "2GB")).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(
      "--quota-mb: this must be a whole number of MiB, such as 2048 for 2 GiB.",
    ),
  });
});

test("a new node's next step has the server's address from outside, by flag or variable", async () => {
  const run = await shell();
  const added = await run(
    "call",
    "add-node",
    "--name",
    "mx",
    "--public-url",
    "https://mail-admin.example.nl",
  );
  expect(added.stdout).toContain("m25-mail-node setup --server https://mail-admin.example.nl\n");
  expect((await run("call", "add-node", "--name", "mx2")).stdout).toContain(
    "URL is the address at which nodes reach this server, such as https://mail-admin.example.nl: --public-url",
  );
});

test("a link that is made at the shell says with which server it works", async () => {
  const run = await shell();
  const command = ["call", "create-password-link", "--email", "jan@example.nl", "--kind", "reset"];
  expect(await run(...command, "--public-url", "https://mail-admin.example.nl")).toMatchObject({
    code: 0,
    stderr: "The link opens only while m25-mail serve runs with --tools people.\n",
  });
});

test("a mailbox is renamed, and the audit log says from what to what", async () => {
  const run = await shell();
  await run("call", "set-alias", "--address", "info@example.nl", "--targets", "jan@example.nl");
  expect(await run("user", "rename", "jan@example.nl", "piet@example.nl")).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^email: piet@example.nl\nformer_email: jan@example.nl\naliases: info@example.nl\nkept_alias: false\nrevision: /,
    ),
  });
  expect((await run("audit")).stdout).toMatch(/rename-user .*jan@example.nl.*piet@example.nl/);
  expect((await run("user", "rename", "jan@example.nl", "kees@example.nl")).stderr).toMatch(
    /^user_not_found/,
  );
  expect((await run("user", "rename", "piet@example.nl", "kees")).stderr).toMatch(/^invalid_input: NEW: /);
  expect(await run("user", "rename", "piet@example.nl", "kees@example.nl", "--keep-alias")).toMatchObject({
    stdout: expect.stringMatching(/\naliases: info@example.nl\nkept_alias: true\n/),
  });
  expect((await run("call", "list-aliases", "--target", "kees@example.nl")).stdout).toMatch(
    /info@example.nl.*piet@example.nl/s,
  );
});

test("a soft-deleted mailbox is purged at the shell", async () => {
  const run = await shell();
  expect((await run("user", "purge", "jan@example.nl")).stderr).toMatch(/^user_active/);
  await run("call", "remove-user", "--email", "jan@example.nl");
  expect(await run("user", "purge", "jan@example.nl")).toMatchObject({
    code: 0,
    stdout: "jan@example.nl is removed for good\n",
    stderr: "",
  });
  expect((await run("user", "restore", "jan@example.nl")).stderr).toMatch(/^user_not_found/);
});

test("help lists every command, flag and variable, and each command has a help of its own", async () => {
  const [bare, help] = await Promise.all([m25mail([]), m25mail(["--help"])]);
  expect(bare).toMatchObject({ code: 0, stderr: "" });
  expect(bare.stdout).toBe(help.stdout);
  for (const word of [
    ...tools.map(({ endpoint }) => endpoint),
    "serve",
    "stdio",
    "M25_MAIL_DB",
    "--public-url",
  ]) {
    expect(help.stdout).toContain(word);
  }
  for (const args of [
    ["serve"],
    ["stdio"],
    ["call"],
    ["call", "add-user"],
    ["token"],
    ["token", "create"],
    ["node", "list"],
  ]) {
    const answer = await m25mail([...args, "--help"]);
    expect(answer, args.join(" ")).toMatchObject({ code: 0, stderr: "" });
    expect(answer.stdout, args.join(" ")).toContain("m25-mail");
  }
  const addUser = (await m25mail(["call", "add-user", "--help"])).stdout;
  expect(addUser).toMatch(/--password-file[\s\S]*--quota-mb/);
  const removeUser = (await m25mail(["call", "remove-user", "--help"])).stdout;
  expect(removeUser).toContain("m25-mail user add EMAIL");
  expect(addUser + removeUser).not.toContain("m25_mail_");
});

test("a command's help lists its flags and no other command", async () => {
  const create = (await m25mail(["token", "create", "--help"])).stdout;
  for (const flag of ["--scopes", "--domains", "--expires", "--json", "--db"]) expect(create).toContain(flag);
  expect(create).not.toMatch(/token revoke|node set/);
  const node = (await m25mail(["node", "--help"])).stdout;
  for (const verb of ["list", "set", "rotate-key", "accept", "remove"]) {
    expect(node).toContain(`m25-mail node ${verb}`);
  }
  expect(node).not.toContain("token");
});

test("the help of call lists the nine operations, one a line, also after an unknown name", async () => {
  for (const args of [["call"], ["call", "bogus"]]) {
    const { stdout } = await m25mail([...args, "--help"]);
    for (const { endpoint, title } of tools)
      expect(stdout).toMatch(new RegExp(`^ +${endpoint} +${title}$`, "m"));
  }
  const byItsOtherName = await m25mail(["call", "m25_mail_add_user", "--help"]);
  expect(byItsOtherName.stdout).toMatch(/^m25-mail call add-user /);
  expect(byItsOtherName.stdout).not.toContain("m25_mail_");
});

const atTheServer = usages.filter(
  ({ name }) => !/^(serve|stdio|call|backup|restore|export|migrate|setup|completion)$/.test(name),
);

/** Returns the words of a command line, without flags. */
function wordsOf({ name, takes = "" }: Usage): string[] {
  const given = takes.split(" | ")[0]?.match(/\b[A-Z]+\b/g) ?? [];
  return [...name.split(" "), ...given];
}

test("only commands that set a password take a hash cost, and only their help mentions it", async () => {
  const lines = [...atTheServer.map(wordsOf), ...tools.map(({ endpoint }) => ["call", endpoint])];
  const taken: string[][] = [];
  for (const words of lines) {
    const others = words[0] === "oauth" && words[2] === "add" ? ["--redirect-uri", "http://localhost/"] : [];
    try {
      await storeCommand([...words, ...others, "--hash-cost", "11"]);
      taken.push([...words]);
    } catch (error) {
      expect(String(error)).toContain("There is no flag --hash-cost");
    }
  }
  expect(taken.map((words) => words.join(" ")).sort()).toEqual([
    "call add-user",
    "call update-password",
    "import FILE",
    "operator set-password",
    "user add EMAIL",
    "user passwd EMAIL",
  ]);
  const helps = await Promise.all(lines.map(commandHelp));
  expect(lines.filter((_words, index) => helps[index]?.includes("--hash-cost"))).toEqual(taken);
  expect((await m25mail(["restore", "FILE", "--hash-cost", "11"])).stderr).toContain("no flag --hash-cost");
  expect(await commandHelp(["restore"])).not.toContain("--hash-cost");
});

test("every command and flag in the help exists", async () => {
  expect(atTheServer.length).toBeGreaterThan(15);
  for (const usage of atTheServer) {
    const flags = Object.entries(usage.flags ?? {})
      .filter(([flag]) => flag !== "all")
      .flatMap(([flag, { placeholder }]) =>
        `--${flag} ${placeholder.replace("END", "1d")}`.trim().split(" "),
      );
    expect(await storeCommand([...wordsOf(usage), ...flags]), usage.name).toMatchObject({
      values: { json: true },
    });
  }
});

test("every command prints its version", async () => {
  for (const args of [
    ["--version"],
    ["serve", "--version"],
    ["call", "add-user", "--version"],
    ["token", "--version"],
  ]) {
    expect(await m25mail(args), args.join(" ")).toEqual({
      code: 0,
      stdout: `m25-mail ${packageJson.version}\n`,
      stderr: "",
    });
  }
});

const old = ["/usr/bin/node", "/usr/local/bin/node"].find(
  (path) =>
    existsSync(path) && /^v(1\d|20)\./.test(spawnSync(path, ["--version"], { encoding: "utf8" }).stdout),
);

test.skipIf(old === undefined)(
  "a Node that is too old prints one clear line instead of crashing (needs a Node 20)",
  () => {
    for (const args of [["serve"], ["stdio"], ["--version"]]) {
      const { status, stdout, stderr } = spawnSync(old ?? "", [ENTRY, ...args], { encoding: "utf8" });
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(/^m25-mail needs Node\.js 22\.19 or later; this is v\d+\.\d+\.\d+\..*\n$/);
    }
  },
);
