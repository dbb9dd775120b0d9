import { spawnSync } from "node:child_process";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareMainCf, type PostfixCommands } from "../../src/agent/main-cf.ts";
import { configurationFolder } from "../../src/agent/postmap.ts";
import { thisMachine } from "../../src/agent/this-machine.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import { nodeOf, startServer, stateOf, temporaryFolder, user } from "./support.ts";

const postconf = (await thisMachine.find("postconf")) ?? "";
const postmap = (await thisMachine.find("postmap")) ?? "";
const withPostfix = postconf === "" ? it.skip : it;

/** A main.cf, back-dated as Postfix's commands want it. */
function configure(lines: readonly string[]): string {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "main.cf"), `compatibility_level = 3.6\n${lines.join("\n")}\n`);
  const minuteAgo = Date.now() / 1000 - 60;
  utimesSync(join(folder, "main.cf"), minuteAgo, minuteAgo);
  return folder;
}

/** A node that serves these, its maps built by postmap. */
async function maps(domains: readonly string[], addresses: readonly string[]): Promise<string> {
  const out = temporaryFolder();
  const folder = await configurationFolder(thisMachine, out);
  for (const [name, keys] of [["domains", domains] as const, ["mailboxes", addresses] as const]) {
    writeFileSync(join(out, name), keys.map((key) => `${key} OK\n`).join(""));
    spawnSync(postmap, ["-c", folder, `lmdb:${join(out, name)}`]);
  }
  return out;
}

const DOMAINS = ["bakery.example", "mail.bakery.example"];
const USERS = ["jan@bakery.example"];

async function compare(out: string, lines: readonly string[], role: NodeRole = "mail") {
  const postfix: PostfixCommands = { postmap, postconf, configuration: configure(lines) };
  return await compareMainCf(thisMachine, { out, postfix, role }, { domains: DOMAINS, users: USERS });
}

describe("a node that compares what it serves with main.cf", () => {
  withPostfix("finds nothing amiss where main.cf leads to its maps, by whatever way", async () => {
    const out = await maps(DOMAINS, USERS);
    const inPlace = [
      `virtual_mailbox_domains = lmdb:${out}/domains`,
      `virtual_mailbox_maps = lmdb:${out}/mailboxes`,
    ];
    const others = [
      "virtual_mailbox_domains = BAKERY.example, mail.bakery.example",
      "virtual_mailbox_maps = static:OK",
    ];
    const relayed = [`relay_domains = lmdb:${out}/domains`, `relay_recipient_maps = lmdb:${out}/mailboxes`];
    const proxied = inPlace.map((line) => line.replace("lmdb:", "proxy:lmdb:"));
    for (const lines of [inPlace, others, proxied])
      expect(await compare(out, ["myhostname = host.example", ...lines])).toEqual({
        elsewhere: [],
        unused: [],
      });
    expect(await compare(out, ["myhostname = host.example", ...relayed], "mx")).toEqual({
      elsewhere: [],
      unused: [],
    });
  });

  withPostfix("names each domain that main.cf delivers in another way, and the setting", async () => {
    const out = await maps(DOMAINS, USERS);
    const own = [
      `virtual_mailbox_domains = lmdb:${out}/domains`,
      `virtual_mailbox_maps = lmdb:${out}/mailboxes`,
    ];
    const list = join(temporaryFolder(), "list");
    writeFileSync(list, "# domains\nother.example Bakery.example\n");
    const cases: [string[], string[]][] = [
      [["myhostname = mail.bakery.example"], ["mail.bakery.example is in mydestination"]],
      [["mydestination = $myhostname, Bakery.Example"], ["bakery.example is in mydestination"]],
      [["mydestination ="], []],
      [[`mydestination = ${list}`], ["bakery.example is in mydestination"]],
      [["mydestination = inline:{ bakery.example=x }"], ["bakery.example is in mydestination"]],
      [["mydestination = regexp:{{/bakery/ OK}}"], DOMAINS.map((domain) => `${domain} is in mydestination`)],
      [
        ["mydestination = localhost", "virtual_alias_domains = bakery.example"],
        ["bakery.example is in virtual_alias_domains"],
      ],
    ];
    for (const [lines, elsewhere] of cases)
      expect(await compare(out, [...lines, ...own]), lines.join()).toEqual({ elsewhere, unused: [] });
  });

  withPostfix(
    "names each setting that does not lead to its maps, and a main.cf that is not there",
    async () => {
      const out = await maps(DOMAINS, USERS);
      const host = "myhostname = host.example";
      const { unused } = await compare(out, [host, "virtual_mailbox_domains = lmdb:/nowhere/domains"]);
      expect(unused.map((line) => line.split(" ")[0])).toEqual([
        "virtual_mailbox_domains",
        "virtual_mailbox_maps",
      ]);
      const asMailbox = [
        host,
        `virtual_mailbox_domains = lmdb:${out}/domains`,
        `virtual_mailbox_maps = lmdb:${out}/mailboxes`,
      ];
      expect((await compare(out, asMailbox, "mx")).unused).toHaveLength(2);
      const postfix = { postmap, postconf, configuration: temporaryFolder() };
      const missing = await compareMainCf(
        thisMachine,
        { out, postfix, role: "mail" },
        { domains: DOMAINS, users: [] },
      );
      expect(missing.unused).toEqual([expect.stringContaining("Postfix has no configuration")]);
    },
  );

  withPostfix("reports the reason until main.cf is right, though nothing more has changed", async () => {
    const server = await startServer(stateOf(1, DOMAINS, [user("jan@bakery.example")]));
    const node = nodeOf(server, {
      find: async (command) => (command === "doveadm" ? undefined : thisMachine.find(command)),
    });
    const { out } = node.config;
    const own = [
      `virtual_mailbox_domains = lmdb:${out}/domains`,
      `virtual_mailbox_maps = lmdb:${out}/mailboxes`,
    ];
    node.config.postfixConfig = configure(["myhostname = mail.bakery.example", ...own]);
    expect(await node.poll()).toMatchObject({ exitCode: 75, reported: true });
    expect(server.reports.at(-1)).toMatchObject({ status: "failed", reason: "domain_elsewhere", count: 1 });
    expect(node.log).toContain("not as applied: mail.bakery.example is in mydestination");
    expect(await node.poll()).toMatchObject({ exitCode: 75, reported: true });
    node.config.postfixConfig = configure(["myhostname = host.example", ...own]);
    expect(await node.poll()).toMatchObject({ exitCode: 0 });
    expect(server.reports.at(-1)).toMatchObject({ status: "applied", reason: null });
  });
});
