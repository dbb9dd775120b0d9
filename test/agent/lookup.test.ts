import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { CommandResult, Host } from "../../src/agent/host.ts";
import { type Changes, type Eyes, lookUpChanges, noteChanges } from "../../src/agent/lookup.ts";
import { configurationFolder } from "../../src/agent/postmap.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import { hash, temporaryFolder } from "./support.ts";

const postmap = (await thisMachine.find("postmap")) ?? "";
const dovecot = await thisMachine.find("dovecot");
const withPostmap = postmap === "" ? it.skip : it;
const withDovecot = dovecot === undefined || process.geteuid?.() !== 0 ? it.skip : it;

function changes(given: {
  came?: string[];
  went?: string[];
  domains?: string[];
  closed?: string[];
}): Changes {
  const { came = [], went = [], domains = [], closed = [] } = given;
  return { domains: { added: domains, removed: closed }, users: { added: came, removed: went } };
}

interface Place {
  out: string;
  host: Host;
  log: string[];
  /** What was run, without folders. */
  asked: string[];
  note(changes: Changes): Promise<void>;
  look(given?: Partial<Eyes>): Promise<number>;
}

function place(run: Host["run"] = thisMachine.run): Place {
  const out = temporaryFolder();
  const log: string[] = [];
  const asked: string[] = [];
  const host: Host = {
    ...thisMachine,
    log: (line) => void log.push(line),
    run: (command, args, options) => {
      asked.push([command.replace(/.*\//, ""), ...args].join(" ").replaceAll(`${out}/`, ""));
      return run(command, args, options);
    },
  };
  return {
    out,
    host,
    log,
    asked,
    note: (noted) => noteChanges(host.files, out, noted),
    look: async (given) => {
      const eyes: Eyes = {
        role: "mail",
        postmap,
        postfix: undefined,
        doveadm: undefined,
        mailRoot: "/var/vmail",
        ...given,
      };
      return (await lookUpChanges(host, out, eyes)).contradiction?.count ?? 0;
    },
  };
}

async function makeMap({ host, out }: Place, name: string, keys: readonly string[]): Promise<void> {
  const folder = await configurationFolder(host, out);
  writeFileSync(join(out, name), keys.map((key) => `${key} OK\n`).join(""));
  const made = spawnSync(postmap, ["-c", folder, `lmdb:${join(out, name)}`], { encoding: "utf8" });
  expect(made).toMatchObject({ status: 0, stderr: "" });
}

describe("the look-up through Postfix's eyes", () => {
  withPostmap("finds who came, misses who went, and then has nothing left to look up", async () => {
    const node = place();
    await makeMap(node, "mailboxes", ["jan@example.nl", "els@example.nl"]);
    await makeMap(node, "domains", ["example.nl"]);
    await node.note(
      changes({
        came: ["jan@example.nl"],
        went: ["piet@example.nl"],
        domains: ["example.nl"],
        closed: ["old.nl"],
      }),
    );
    expect(statSync(join(node.out, "unproved.json")).mode & 0o777).toBe(0o600);
    expect(await node.look()).toBe(0);
    expect(node.asked.sort()).toEqual([
      "postmap -c postfix -q example.nl lmdb:domains",
      "postmap -c postfix -q jan@example.nl lmdb:mailboxes",
      "postmap -c postfix -q old.nl lmdb:domains",
      "postmap -c postfix -q piet@example.nl lmdb:mailboxes",
    ]);
    expect(node.log).toEqual([]);
    expect(await node.look()).toBe(0);
    expect(node.asked).toHaveLength(4);
  });

  withPostmap("that contradicts is counted and named, and is looked up again until it is so", async () => {
    const node = place();
    await makeMap(node, "mailboxes", ["piet@example.nl"]);
    await makeMap(node, "domains", []);
    await node.note(
      changes({ came: ["jan@example.nl"], went: ["piet@example.nl"], domains: ["example.nl"] }),
    );
    expect(await node.look()).toBe(3);
    expect(node.log).toEqual([
      "not as applied: Postfix does not find example.nl in domains",
      "not as applied: Postfix does not find jan@example.nl in mailboxes",
      "not as applied: Postfix still finds piet@example.nl in mailboxes",
    ]);
    expect(await node.look()).toBe(3);
    await makeMap(node, "mailboxes", ["jan@example.nl"]);
    await makeMap(node, "domains", ["example.nl"]);
    expect(await node.look()).toBe(0);
  });

  withPostmap("of a map that is damaged or gone contradicts, whatever was asked", async () => {
    const node = place();
    await makeMap(node, "mailboxes", ["jan@example.nl"]);
    await node.note(changes({ came: ["jan@example.nl"], went: ["piet@example.nl"] }));
    writeFileSync(join(node.out, "mailboxes.lmdb"), "not a map");
    expect(await node.look()).toBe(2);
    rmSync(join(node.out, "mailboxes.lmdb"));
    expect(await node.look()).toBe(2);
    expect(node.log[0]).toContain("Postfix cannot look jan@example.nl up in mailboxes: ");
  });

  it("is of five of each kind, from the first to the last, however many came", async () => {
    const node = place(async () => ({ code: 0, stdout: "OK\n", stderr: "" }));
    const came = Array.from({ length: 1001 }, (_, index) => `user${index}@example.nl`);
    await node.note(changes({ came }));
    expect(await node.look()).toBe(0);
    const keys = node.asked.map((command) => command.split(" ")[4]);
    expect(keys).toEqual([0, 250, 500, 750, 1000].map((index) => `user${index}@example.nl`));
  });

  it("remembers what was not so through the next update, unless that made it otherwise", async () => {
    const said = new Map<string, number>();
    const node = place(async (_command, args) => ({
      code: said.get(args[3] ?? "") ?? 1,
      stdout: "",
      stderr: "",
    }));
    await node.note(changes({ came: ["a@example.nl", "b@example.nl"] }));
    expect(await node.look()).toBe(2);
    await node.note(changes({ came: ["c@example.nl"], went: ["a@example.nl"] }));
    expect(await node.look()).toBe(2);
    expect(node.log.slice(2).map((line) => line.split(" ").at(-3))).toEqual(["b@example.nl", "c@example.nl"]);
    said.set("b@example.nl", 0).set("c@example.nl", 0);
    expect(await node.look()).toBe(0);
  });

  it("where nothing came or went writes nothing and asks nobody", async () => {
    const node = place();
    await node.note(changes({}));
    expect(await node.look({ doveadm: ["/pretended/doveadm"] })).toBe(0);
    expect(node.asked).toEqual([]);
    expect(await node.host.files.list(node.out)).toEqual([]);
  });

  it("with a damaged note goes on", async () => {
    for (const text of [
      "",
      "{",
      "null",
      '{"users":{"added":[7],"removed":[]},"domains":{"added":[],"removed":[]}}',
    ]) {
      const node = place();
      writeFileSync(join(node.out, "unproved.json"), text);
      expect(await node.look()).toBe(0);
    }
  });
});

/** A Dovecot that answers nobody but doveadm, on `users` of that folder. @returns doveadm for it */
function startDovecot(out: string): string[] {
  const folder = temporaryFolder();
  const config = join(folder, "dovecot.conf");
  for (const name of ["run", "state"]) mkdirSync(join(folder, name));
  writeFileSync(
    config,
    `base_dir = ${folder}/run
state_dir = ${folder}/state
instance_name = ${folder.replace(/.*\//, "")}
log_path = ${folder}/dovecot.log
protocols =
ssl = no
auth_cache_size = 0
passdb {
  driver = passwd-file
  args = scheme=BLF-CRYPT username_format=%Lu ${out}/users
}
userdb {
  driver = passwd-file
  args = username_format=%Lu ${out}/users
  default_fields = uid=5000 gid=5000
}
`,
  );
  // It stays, and so would a pipe to it.
  expect(spawnSync(dovecot ?? "", ["-c", config], { stdio: "ignore" }).status).toBe(0);
  const doveadm = (dovecot ?? "").replace(/sbin\/dovecot$/, "bin/doveadm");
  onTestFinished(() => void spawnSync(doveadm, ["-c", config, "stop"]));
  return [doveadm, "-c", config];
}

function writeUsers(out: string, users: readonly string[], mailRoot = "/var/vmail"): void {
  const line = (user: string): string => {
    const [local, domain] = user.split("@");
    return `${user}:${hash("a")}::::${mailRoot}/${domain}/${local}.0123456789abcdef::\n`;
  };
  const staged = join(out, ".users.new");
  writeFileSync(staged, users.map(line).join(""), { mode: 0o644 });
  renameSync(staged, join(out, "users"));
}

describe("the look-up through Dovecot's eyes", () => {
  const bothFind = async (command: string, args: readonly string[]): Promise<CommandResult> => {
    if (command !== postmap) return thisMachine.run(command, args);
    return { code: ["piet@example.nl"].includes(args[3] ?? "") ? 1 : 0, stdout: "", stderr: "" };
  };
  const noted = changes({ came: ["jan@example.nl"], went: ["piet@example.nl"] });

  withDovecot("finds who came and misses who went", async () => {
    const node = place(bothFind);
    writeUsers(node.out, ["jan@example.nl"]);
    const doveadm = startDovecot(node.out);
    await node.note(noted);
    expect(await node.look({ doveadm })).toBe(0);
    expect(node.log).toEqual([]);
    expect(node.asked.filter((command) => command.startsWith("doveadm")).length).toBe(2);
  });

  withDovecot("waits for Dovecot's next look at the file before it contradicts", async () => {
    const node = place(bothFind);
    writeUsers(node.out, ["piet@example.nl"]);
    const doveadm = startDovecot(node.out);
    // Dovecot has looked at the old file within this second.
    await thisMachine.clock.sleep(1005 - (Date.now() % 1000));
    expect(spawnSync(doveadm[0] ?? "", [...doveadm.slice(1), "user", "piet@example.nl"]).status).toBe(0);
    writeUsers(node.out, ["jan@example.nl"]);
    utimesSync(join(node.out, "users"), Date.now() / 1000 + 2, Date.now() / 1000 + 2);
    await node.note(noted);
    expect(await node.look({ doveadm })).toBe(0);
    expect(node.asked.filter((command) => command.startsWith("doveadm")).length).toBe(4);
  });

  withDovecot("contradicts a Dovecot that reads another file", async () => {
    const node = place(bothFind);
    writeUsers(node.out, ["piet@example.nl"]);
    const doveadm = startDovecot(node.out);
    await node.note(noted);
    expect(await node.look({ doveadm })).toBe(2);
    expect(node.log).toEqual([
      "not as applied: Dovecot does not know jan@example.nl",
      "not as applied: Dovecot still knows piet@example.nl",
    ]);
  });

  withDovecot("lets a user stay whom Dovecot knows from elsewhere", async () => {
    const node = place(bothFind);
    writeUsers(node.out, ["jan@example.nl", "piet@example.nl"], "/home/other");
    const doveadm = startDovecot(node.out);
    await node.note(noted);
    expect(await node.look({ doveadm })).toBe(0);
  });

  withDovecot(
    "warns once when Dovecot is not running, or cannot read the file, and is content with Postfix",
    async () => {
      const node = place(bothFind);
      writeUsers(node.out, ["jan@example.nl"]);
      const doveadm = startDovecot(node.out);
      rmSync(join(node.out, "users"));
      writeFileSync(join(node.out, "users"), "", { mode: 0o600 });
      await node.note(noted);
      expect(await node.look({ doveadm })).toBe(0);
      spawnSync(doveadm[0] ?? "", [...doveadm.slice(1), "stop"]);
      await node.note(noted);
      expect(await node.look({ doveadm })).toBe(0);
      expect(node.log).toEqual([
        expect.stringMatching(/^warning: Dovecot was not asked whom it knows: \S/),
        "warning: Dovecot does not answer: is it running?",
      ]);
      expect(readFileSync(join(node.out, "users"), "utf8")).toBe("");
      // To be asked again.
      expect(existsSync(join(node.out, "unproved.json"))).toBe(true);
    },
  );

  it("says the same each time of a Dovecot that gives no answer about anybody, whichever comes first", async () => {
    let slow = "";
    const node = place(async (command, args) => {
      const user = args.at(-1) ?? "";
      if (!command.endsWith("doveadm"))
        return { code: user.startsWith("lmdb:") ? 0 : 1, stdout: "", stderr: "" };
      for (let turn = 0; user === slow && turn < 3; turn += 1) await new Promise(setImmediate);
      return { code: 75, stdout: "", stderr: `userdb lookup(${user}) failed` };
    });
    await node.note(changes({ came: ["jan@example.nl", "els@example.nl"] }));
    for (slow of ["jan@example.nl", "els@example.nl"]) await node.look({ doveadm: ["/pretended/doveadm"] });
    expect(node.log).toHaveLength(2);
    expect(node.log[0]).toBe(node.log[1]);
  });

  it("warns when doveadm cannot be run", async () => {
    const node = place(bothFind);
    await node.note(noted);
    expect(await node.look({ doveadm: ["/nowhere/doveadm"] })).toBe(0);
    expect(node.log).toHaveLength(1);
    expect(node.log[0]).toContain("ENOENT");
  });
});
