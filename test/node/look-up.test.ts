/** Added and removed keys are looked up as the daemons do: by Postfix's own configuration, and by Dovecot. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type Machine, thisMachine } from "../../src/machine/machine.ts";
import { reloadDovecot, unwritableFolder } from "../../src/node/daemons/dovecot.ts";
import { type Daemons, type Findings, lookUpChanges } from "../../src/node/daemons/look-up.ts";
import { hostOf, reloadPostfix } from "../../src/node/daemons/postfix.ts";
import type { Changes } from "../../src/node/replica/notes.ts";
import { agePostfixFiles, shipped } from "../mail/shipped.ts";
import type { MailState } from "../support/answer-reader.ts";
import { idOf, stateOf, user } from "./answers.ts";
import { temporaryFolder } from "./folder.ts";
import { Life } from "./life.ts";
import { nodeOf, startServer } from "./support.ts";

const [postmap = "", postconf = "", doveadm = ""] = await Promise.all(
  ["postmap", "postconf", "doveadm"].map(thisMachine.find),
);
const withPostfix = postmap === "" ? it.skip : it;
const asRoot = process.geteuid?.() === 0 ? it : it.skip;
const withDovecot = doveadm === "" ? it.skip : asRoot;

const DOMAINS = ["bakery.example", "mail.bakery.example"];
const JAN = "jan@bakery.example";
const bakery = stateOf(1, DOMAINS, [user(JAN)]);
const asMx = stateOf(1, DOMAINS, [{ user: JAN }], { role: "mx" });

function changes(given: {
  came?: string[];
  went?: string[];
  domains?: string[];
  closed?: string[];
}): Changes {
  const { came = [], went = [], domains = [], closed = [] } = given;
  return {
    domains: { added: domains, removed: closed },
    users: { added: came, removed: went },
    aliases: { added: [], removed: [] },
  };
}
const everything = changes({ came: [JAN], domains: DOMAINS });
const nothingAmiss = { contradiction: undefined, silence: null };

/** A node with a state, and the log lines of its look-ups. */
class Place {
  readonly log: string[] = [];
  readonly life: Life;
  readonly machine: Machine = {
    ...thisMachine,
    // Without the node's limit of five seconds: on a busy machine Dovecot may take longer.
    run: (command, args) => thisMachine.run(command, args),
    log: (line) => void this.log.push(line),
  };

  constructor(life: Life) {
    this.life = life;
  }

  static async with(state: MailState): Promise<Place> {
    const life = await Life.begin();
    await life.take(state);
    return new Place(life);
  }

  /** A main.cf with the shipped settings for the replica, and with `lines` instead of some. @returns its folder */
  configure(lines: readonly string[], file = "postfix-main.cf"): string {
    const folder = temporaryFolder();
    for (const name of ["m25-domains.cf", "m25-mailboxes.cf", "m25-aliases.cf"])
      writeFileSync(join(folder, name), shipped(name, { "/var/lib/m25-mail-node": this.life.out }));
    const main = shipped(file, { "/etc/postfix/m25-": `${folder}/m25-` });
    const set = lines.map((line) => line.split(" ")[0]);
    const asked = main
      .split("\n")
      .filter((line) => /^(virtual_mailbox|relay)_(domains|maps|recipient_maps) /.test(line))
      .filter((line) => !set.includes(line.split(" ")[0]));
    writeFileSync(join(folder, "main.cf"), ["compatibility_level = 3.6", ...lines, ...asked, ""].join("\n"));
    agePostfixFiles(folder);
    return folder;
  }

  async look(keys: Changes, daemons: Partial<Daemons>): Promise<Findings> {
    this.log.length = 0;
    const all = { postfix: undefined, doveadm: undefined, ...daemons };
    return await lookUpChanges(this.machine, all, this.life.replica, keys);
  }

  /** Looks up in Postfix only. @param lines lines of main.cf besides the shipped ones */
  async byPostfix(keys: Changes, lines = ["myhostname = host.example"], file?: string): Promise<Findings> {
    const configuration = this.configure(lines, file);
    return await this.look(keys, { postfix: { postmap, postconf, configuration } });
  }
}

describe("the node's host name", () => {
  withPostfix.each([
    ["myhostname = Mail.Bakery.example", "mail.bakery.example"],
    ["myhostname = localhost", undefined],
    ["myhostname = mail-.bakery.example", undefined],
    ["myhostname = ignore all instructions", undefined],
  ])("by %j is %j", async (line, name) => {
    const place = await Place.with(bakery);
    const configuration = place.configure([line]);
    expect(await hostOf(place.machine, { postmap, postconf, configuration })).toBe(name);
  });
});

describe("a reload", () => {
  withPostfix("reaches Postfix's master, and no process that has got its number since", async () => {
    const place = await Place.with(bakery);
    const queue = temporaryFolder();
    const configuration = place.configure([`queue_directory = ${queue}`]);
    mkdirSync(join(queue, "pid"));
    const reload = async (program: string) => {
      const process = spawn(program, ["60"]);
      onTestFinished(() => void process.kill());
      const ended = once(process, "exit");
      writeFileSync(join(queue, "pid/master.pid"), `${String(process.pid).padStart(10)}\n`);
      await reloadPostfix(place.machine, { postmap, postconf, configuration });
      process.kill();
      return (await ended)[1];
    };
    const master = join(queue, "master");
    copyFileSync("/bin/sleep", master);
    expect(await reload(master)).toBe("SIGHUP");
    expect(await reload("/bin/sleep")).toBe("SIGTERM");
    rmSync(join(queue, "pid"), { recursive: true });
    await reloadPostfix(place.machine, { postmap, postconf, configuration });
    expect(place.log).toEqual([]);
  });

  withDovecot("that fails is a warning, unless Dovecot does not run", async () => {
    const place = await Place.with(bakery);
    const config = join(temporaryFolder(), "dovecot.conf");
    writeFileSync(config, `base_dir = ${temporaryFolder()}\n`);
    await reloadDovecot(place.machine, [doveadm, "-c", config]);
    expect(place.log).toEqual([]);
    await reloadDovecot(place.machine, [doveadm, "-c", "/nonexistent"]);
    expect(place.log).toEqual([
      expect.stringMatching(
        /^warning: Dovecot may still read the files that were replaced: .*doveadm reload$/,
      ),
    ]);
  });
});

describe("a look-up in Postfix", () => {
  withPostfix("finds added keys and no removed ones, in either role of the node", async () => {
    const keys = changes({
      came: [JAN],
      went: ["piet@bakery.example"],
      domains: DOMAINS,
      closed: ["old.example"],
    });
    const place = await Place.with(bakery);
    expect(await place.byPostfix(keys)).toEqual(nothingAmiss);
    expect(place.log).toEqual([]);
    const mx = await Place.with(asMx);
    expect(await mx.byPostfix(keys, undefined, "postfix-mx.cf")).toEqual(nothingAmiss);
    expect((await mx.byPostfix(keys)).contradiction?.reason).toBe("domain_elsewhere");
  });

  withPostfix("is named and counted where it contradicts what was applied", async () => {
    const place = await Place.with(bakery);
    const keys = changes({ came: ["els@bakery.example"], went: [JAN], domains: ["new.example"] });
    expect((await place.byPostfix(keys)).contradiction).toEqual({ reason: "maps_not_used", count: 2 });
    expect(place.log).toEqual([
      "look-up: Postfix does not find new.example by virtual_mailbox_domains",
      "look-up: Postfix does not find els@bakery.example by virtual_mailbox_maps",
      `look-up: Postfix still finds ${JAN} by virtual_mailbox_maps`,
    ]);
    const went = changes({ went: [JAN] });
    expect((await place.byPostfix(went)).contradiction).toEqual({ reason: "lookup_failed", count: 1 });
  });

  withPostfix("contradicts, whatever it is, where the replica is doubtful or gone", async () => {
    const place = await Place.with(bakery);
    const keys = changes({ came: [JAN], went: ["piet@bakery.example"] });
    const doubtful = "UPDATE addresses.meta SET ready = 0;";
    for (const damage of [
      () => place.life.replica.db.run(doubtful),
      () => rmSync(join(place.life.out, "addresses.db")),
    ]) {
      await damage();
      expect((await place.byPostfix(keys)).contradiction).toEqual({ reason: "maps_not_used", count: 1 });
      expect(place.log).toEqual([
        expect.stringMatching(`Postfix does not find ${JAN} by virtual_mailbox_maps: \\S`),
        expect.stringMatching("Postfix cannot look up piet@bakery.example by virtual_mailbox_maps"),
      ]);
    }
  });

  withPostfix("may lead to the replica by whatever way", async () => {
    const place = await Place.with(bakery);
    for (const lines of [
      ["virtual_mailbox_domains = BAKERY.example, mail.bakery.example", "virtual_mailbox_maps = static:OK"],
      ["virtual_mailbox_domains = inline:{ bakery.example=x, { mail.bakery.example = y } }"],
    ])
      expect(await place.byPostfix(everything, ["myhostname = host.example", ...lines])).toEqual(
        nothingAmiss,
      );
  });

  const list = "# domains\nother.example Bakery.example\n";
  const first = "bakery.example";
  withPostfix.each<[string, string[], string, string[]]>([
    [
      "this machine's own name",
      ["myhostname = mail.bakery.example"],
      "mydestination",
      ["mail.bakery.example"],
    ],
    ["a list", ["mydestination = $myhostname, Bakery.Example"], "mydestination", [first]],
    ["an empty list", ["mydestination ="], "", []],
    ["a file", ["mydestination = LIST"], "mydestination", [first]],
    ["a table", ["mydestination = inline:{ bakery.example=x }"], "mydestination", [first]],
    ["a pattern", ["mydestination = regexp:{{/bakery/ OK}}"], "mydestination", DOMAINS],
    [
      "aliases",
      ["mydestination = localhost", "virtual_alias_domains = bakery.example"],
      "virtual_alias_domains",
      [first],
    ],
  ])("finds a domain that another class names first, by %s", async (_, lines, setting, elsewhere) => {
    const place = await Place.with(bakery);
    const file = join(temporaryFolder(), "list");
    writeFileSync(file, list);
    const { contradiction } = await place.byPostfix(
      everything,
      lines.map((line) => line.replace("LIST", file)),
    );
    expect(place.log).toEqual(elsewhere.map((domain) => `look-up: ${domain} is in ${setting}`));
    expect(contradiction?.reason).toBe(elsewhere.length === 0 ? undefined : "domain_elsewhere");
  });

  withPostfix("is not found by settings that lead elsewhere, nor without a main.cf", async () => {
    const place = await Place.with(bakery);
    const elsewhere = ["myhostname = host.example", "virtual_mailbox_domains = lmdb:/nowhere/domains"];
    expect((await place.byPostfix(everything, elsewhere)).contradiction).toEqual({
      reason: "maps_not_used",
      count: 2,
    });
    const configuration = temporaryFolder();
    const missing = await place.look(everything, { postfix: { postmap, postconf, configuration } });
    expect(missing.contradiction).toEqual({ reason: "maps_not_used", count: 1 });
    expect(place.log[0]).toContain("the configuration of Postfix cannot be read");
  });

  withPostfix("is reported until main.cf is right, though nothing more has changed", async () => {
    const server = await startServer(bakery);
    const installed = async (command: string) =>
      command === "doveadm" ? undefined : await thisMachine.find(command);
    const node = nodeOf(server, { find: installed });
    const place = new Place({ out: node.config.out } as Life);
    node.config.postfixConfig = place.configure(["myhostname = mail.bakery.example"]);
    expect(await node.poll()).toMatchObject({ exitCode: 75, reported: true });
    expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "domain_elsewhere", count: 1 });
    expect(node.log).toContain("look-up: mail.bakery.example is in mydestination");
    expect(await node.poll()).toMatchObject({ exitCode: 75, reported: true });
    node.config.postfixConfig = place.configure(["myhostname = host.example"]);
    expect(await node.poll()).toMatchObject({ exitCode: 0 });
    expect(server.reports.at(-1)).toMatchObject({ status: "applied", reason: null });
  });
});

describe("the keys to look up", () => {
  it("are five of each kind, however many were added and removed", async () => {
    const life = await Life.begin();
    const many = Array.from({ length: 100 }, (_, index) => user(`u${index}@d${index % 9}.nl`));
    const domains = Array.from({ length: 9 }, (_, index) => `d${index}.nl`);
    const came = await life.take(stateOf(1, domains, many));
    const counted = (kind: { added: string[]; removed: string[] }) => [
      kind.added.length,
      kind.removed.length,
    ];
    expect([counted(came.sample.users), counted(came.sample.domains)]).toEqual([
      [5, 0],
      [5, 0],
    ]);
    const went = await life.take(stateOf(2, [], []), { thresholds: { percent: 100, users: 0 } });
    expect([counted(went.sample.users), counted(went.sample.domains)]).toEqual([
      [0, 5],
      [0, 5],
    ]);
  });

  it.each(["mail", "mx"] as const)(
    "are not those that are still found: on a %s node a mailbox may be an alias too",
    async (role) => {
      const life = await Life.begin();
      const record = role === "mx" ? { user: JAN } : user(JAN);
      const alias =
        role === "mx" ? { alias: JAN, live: true } : { alias: JAN, targets: [JAN], send_as: false };
      const both = (revision: number) => stateOf(revision, DOMAINS, [record], { role, aliases: [alias] });
      await life.take(both(1));
      const { sample } = await life.take(stateOf(2, DOMAINS, [record], { role }));
      expect(sample.aliases.removed).toEqual([]);
      await life.take(both(3));
      const thresholds = { percent: 100, users: 0 };
      const alone = await life.take(stateOf(4, DOMAINS, [], { role, aliases: [alias] }), { thresholds });
      expect([alone.addresses.removed, alone.sample.users.removed]).toEqual([1, []]);
      const none = await life.take(stateOf(5, DOMAINS, [], { role }), { thresholds });
      expect(none.sample.aliases.removed).toEqual([JAN]);
    },
  );

  it("stay through later updates until they are confirmed, unless an update has changed them", async () => {
    const people = (revision: number, ...names: string[]) =>
      stateOf(
        revision,
        ["example.nl"],
        names.map((name) => user(`${name}@example.nl`)),
      );
    const server = await startServer(people(1, "a", "b"));
    const unknown = new Set(["a@example.nl", "b@example.nl", "c@example.nl"]);
    const node = nodeOf(server);
    const { find, run } = node.machine;
    node.machine.find = async (command) =>
      command === "doveadm" ? "/pretended/doveadm" : await find(command);
    node.machine.run = async (command, args, timeout) => {
      if (!command.endsWith("doveadm")) return await run(command, args, timeout);
      return { code: unknown.has(args.at(-1) ?? "") ? 67 : 0, stdout: "", stderr: "" };
    };
    expect((await node.poll()).exitCode).toBe(75);
    expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "lookup_failed", count: 2 });
    server.serves = people(2, "b", "c");
    node.log.length = 0;
    expect((await node.poll()).exitCode).toBe(75);
    expect(node.log.filter((line) => line.startsWith("look-up: "))).toEqual([
      "look-up: Dovecot does not know b@example.nl",
      "look-up: Dovecot does not know c@example.nl",
    ]);
    unknown.clear();
    unknown.add("a@example.nl");
    expect((await node.poll()).exitCode).toBe(0);
    expect(server.reports.at(-1)).toMatchObject({ status: "applied" });
  });
});

/**
 * A Dovecot that answers only doveadm, with the shipped queries.
 *
 * @param given.owner the user and the group of all mail
 * @returns doveadm for it
 */
function startDovecot(out: string, given: { passwdFile?: string; owner?: string } = {}): string[] {
  const { passwdFile, owner = "5000" } = given;
  const folder = temporaryFolder();
  const config = join(folder, "dovecot.conf");
  const queries = join(folder, "sql.conf.ext");
  for (const name of ["run", "state"]) mkdirSync(join(folder, name));
  writeFileSync(queries, shipped("dovecot-2.3-sql.conf.ext", { "/var/lib/m25-mail-node": out }));
  const [driver, args] = passwdFile === undefined ? ["sql", queries] : ["passwd-file", passwdFile];
  writeFileSync(
    config,
    `base_dir = ${folder}/run
state_dir = ${folder}/state
instance_name = ${folder.replace(/.*\//, "")}
log_path = ${folder}/dovecot.log
protocols =
ssl = no
auth_cache_size = 0
first_valid_uid = 1
mail_uid = ${owner}
mail_gid = ${owner}
passdb {
  driver = ${driver}
  args = ${args}
}
userdb {
  driver = ${driver}
  args = ${args}
}
service auth-worker {
  user = $default_internal_user
}
`,
  );
  // It stays, and so would a pipe to it.
  const dovecot = doveadm.replace(/bin\/doveadm$/, "sbin/dovecot");
  expect(spawnSync(dovecot, ["-c", config], { stdio: "ignore" }).status).toBe(0);
  onTestFinished(() => void spawnSync(doveadm, ["-c", config, "stop"]));
  return [doveadm, "-c", config];
}

describe("a look-up in Dovecot", () => {
  const noted = changes({ came: [JAN], went: ["piet@bakery.example"] });
  const homes = (mailRoot: string) => ({ mailRoot });
  const give = (folder: string, owner: string) =>
    expect(spawnSync("chown", [`${owner}:${owner}`, folder]).status).toBe(0);

  /** A node with a mail root that the mail user may write to. */
  async function mailPlace(owner = "5000"): Promise<Place & { mailRoot: string }> {
    const mailRoot = temporaryFolder();
    give(mailRoot, owner);
    const life = await Life.begin();
    await life.take(bakery, homes(mailRoot));
    return Object.assign(new Place(life), { mailRoot });
  }

  withDovecot("is known where it came, and unknown where it went", async () => {
    const place = await mailPlace();
    expect(await place.look(noted, { doveadm: startDovecot(place.life.out) })).toEqual(nothingAmiss);
    expect(place.log).toEqual([]);
  });

  withDovecot("contradicts where it asks another replica", async () => {
    const place = await mailPlace();
    const other = await Life.begin();
    await other.take(stateOf(1, DOMAINS, [user("piet@bakery.example")]), homes(place.mailRoot));
    const { contradiction } = await place.look(noted, { doveadm: startDovecot(other.out) });
    expect(contradiction).toEqual({ reason: "lookup_failed", count: 2 });
    expect(place.log).toEqual([
      `look-up: Dovecot does not know ${JAN}`,
      "look-up: Dovecot still knows piet@bakery.example",
    ]);
  });

  withDovecot("may be known from elsewhere", async () => {
    const place = await mailPlace();
    const file = join(place.mailRoot, "users");
    const entries = [JAN, "piet@bakery.example"].map(
      (name) => `${name}:{PLAIN}x::::${place.mailRoot}/other::\n`,
    );
    writeFileSync(file, entries.join(""), { mode: 0o644 });
    expect(await place.look(noted, { doveadm: startDovecot(place.life.out, { passwdFile: file }) })).toEqual(
      nothingAmiss,
    );
  });

  withDovecot.each([
    ["a number", "5000"],
    ["a name", "mail"],
  ])(
    "has a folder that the mail user, set as %s, cannot write to: that is told, with the folder",
    async (_, owner) => {
      const place = await mailPlace(owner);
      const doveadmOf = startDovecot(place.life.out, { owner });
      const came = changes({ came: [JAN] });
      const parent = join(place.mailRoot, idOf(JAN).slice(0, 2));
      mkdirSync(parent, { mode: 0o755 });
      const { contradiction } = await place.look(came, { doveadm: doveadmOf });
      expect(contradiction).toEqual({ reason: "folder_not_writable", count: 1 });
      expect(place.log).toEqual([`look-up: the mail of ${JAN} cannot be written to ${parent}`]);
      give(parent, owner);
      expect(await place.look(came, { doveadm: doveadmOf })).toEqual(nothingAmiss);
    },
  );

  asRoot("has a folder that the node may not see: nothing is said about it", async () => {
    const mailRoot = temporaryFolder();
    chownSync(mailRoot, 5000, 5000);
    chmodSync(mailRoot, 0o700);
    const home = join(mailRoot, "01/new");
    expect(await unwritableFolder({ home, uid: 6000, gid: 6000 })).toBe(mailRoot);
    process.seteuid?.(6000);
    try {
      expect(await unwritableFolder({ home, uid: 6000, gid: 6000 })).toBe(undefined);
    } finally {
      process.seteuid?.(0);
    }
  });

  withDovecot("is repeated, with a warning, if Dovecot does not run or cannot use the replica", async () => {
    const place = await mailPlace();
    const doveadmOf = startDovecot(place.life.out);
    await place.life.replica.db.run("UPDATE state.meta SET ready = 0;");
    const doubtful = await place.look(noted, { doveadm: doveadmOf });
    expect(doubtful).toEqual({
      contradiction: undefined,
      silence: expect.stringMatching(/^Dovecot was not asked whom it knows: \S/),
    });
    spawnSync(doveadm, [...doveadmOf.slice(1), "stop"]);
    const stopped = await place.look(noted, { doveadm: doveadmOf });
    expect(stopped).toEqual({
      contradiction: undefined,
      silence: "Dovecot does not answer: is it running?",
    });
    expect(place.log).toEqual(["warning: Dovecot does not answer: is it running?"]);
    const missing = await place.look(noted, { doveadm: ["/nowhere/doveadm"] });
    expect(missing.silence).toContain("ENOENT");
  });
});
