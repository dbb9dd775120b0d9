import { statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { expect, test } from "vitest";
import { readNotes } from "../../src/node/replica/notes.ts";
import { hash, homeOf, stateOf, user } from "./answers.ts";
import { ask, daemons, served } from "./folder.ts";
import { Life } from "./life.ts";

const one = stateOf(1, ["example.nl"], [user("jan@example.nl"), user("piet@example.nl", { quota_mb: 5 })]);
const two = stateOf(
  2,
  ["example.nl", "new.nl"],
  [user("jan@example.nl", { password: hash("b") }), user("els@new.nl", { mailbox: "00112233445566ff" })],
);

test("before a first state every look-up of a daemon fails, and none answers no", async () => {
  const { out } = await Life.begin();
  expect(daemons.mailbox(out, "jan@example.nl")).toBe("fails");
  expect(daemons.domain(out, "example.nl")).toBe("fails");
  expect(daemons.login(out, "jan@example.nl")).toBe("fails");
});

test("after a first state both daemons know everybody, and nobody else", async () => {
  const life = await Life.begin();
  expect(await life.take(one)).toMatchObject({
    revision: 1,
    domains: { added: 1, removed: 0 },
    addresses: { added: 2, changed: 0, removed: 0 },
    withheld: 0,
  });
  const { out } = life;
  expect(daemons.login(out, "jan@example.nl")).toEqual([`jan@example.nl ${hash("a")}`]);
  expect(daemons.home(out, "piet@example.nl")).toEqual([`piet@example.nl ${homeOf("piet@example.nl")} 5`]);
  expect(daemons.users(out)).toEqual(["jan@example.nl", "piet@example.nl"]);
  expect(daemons.domain(out, "example.nl")).toEqual(["OK"]);
  expect(daemons.mailbox(out, "jan@example.nl")).toEqual(["OK"]);
  expect(daemons.sender(out, "jan@example.nl")).toEqual(["jan@example.nl#1"]);
  for (const asked of [daemons.login, daemons.home, daemons.mailbox, daemons.sender])
    expect(asked(out, "nobody@example.nl")).toEqual([]);
  expect(daemons.domain(out, "other.nl")).toEqual([]);
});

test.each(["by what changed", "whole"])("both daemons serve a later state that comes %s", async (how) => {
  const life = await Life.begin();
  await life.take(one);
  expect(await life.take(two, { whole: how === "whole" })).toMatchObject({
    domains: { added: 1, removed: 0 },
    addresses: { added: 1, changed: 1, removed: 1 },
  });
  expect(served(life.out)).toEqual({
    addresses: ["els@new.nl", "jan@example.nl"],
    logins: ["els@new.nl", "jan@example.nl"],
    domains: ["example.nl", "new.nl"],
  });
  expect(daemons.login(life.out, "jan@example.nl")).toEqual([`jan@example.nl ${hash("b")}`]);
  const { ending } = await readNotes(life.replica);
  expect([...(ending ?? [])].sort()).toEqual(["jan@example.nl", "piet@example.nl"]);
});

test("a whole state with nothing new writes next to nothing", async () => {
  const life = await Life.begin();
  const many = stateOf(
    1,
    ["example.nl"],
    Array.from({ length: 2000 }, (_, index) => user(`u${index}@example.nl`)),
  );
  await life.take(many);
  const size = () => statSync(join(life.out, "logins.db-wal")).size;
  await life.replica.db.run("PRAGMA state.wal_checkpoint(TRUNCATE);");
  await life.take(many);
  expect(size()).toBeLessThan(65_536);
});

test("Postfix's file holds no password hash, and only Dovecot's group can read the other one", async () => {
  const life = await Life.begin();
  await life.take(one);
  expect(String(ask(join(life.out, "addresses.db"), "SELECT sql FROM sqlite_schema"))).not.toMatch(
    "password",
  );
  expect(statSync(join(life.out, "logins.db")).mode & 0o007).toBe(0);
});

test("an mx has no file of logins, and no hash anywhere", async () => {
  const life = await Life.begin();
  await life.take(stateOf(1, ["example.nl"], [{ user: "jan@example.nl" }], { role: "mx" }));
  expect(daemons.mailbox(life.out, "jan@example.nl")).toEqual(["OK"]);
  expect(ask(join(life.out, "logins.db"), "SELECT 1")).toBe("fails");
  expect(statSync(join(life.out, "node.db")).mode & 0o077).toBe(0);
});

test("an internationalised domain has both of its names, and one mailbox", async () => {
  const life = await Life.begin();
  const domain = "xn--mnchen-3ya.example";
  await life.take(stateOf(1, [domain], [user(`jan@${domain}`)]));
  const { out } = life;
  for (const name of [domain, "münchen.example"]) {
    expect(daemons.domain(out, name)).toEqual(["OK"]);
    expect(daemons.mailbox(out, `jan@${name}`)).toEqual(["OK"]);
    expect(daemons.sender(out, `jan@${name}`)).toEqual([`jan@${domain}#1`]);
    expect(daemons.login(out, `jan@${name}`)).toEqual([`jan@${domain} ${hash("a")}`]);
    expect(daemons.home(out, `jan@${name}`)).toEqual([`jan@${domain} ${homeOf(`jan@${domain}`)} 1024`]);
  }
  expect(daemons.name(out, "münchen.example")).toEqual([domain]);
  expect(daemons.name(out, domain)).toEqual([]);
  await life.take(stateOf(2, [], []));
  expect(served(out)).toEqual({ addresses: [], logins: [], domains: [] });
});

test("a dry run prints the plan, and changes nothing", async () => {
  const life = await Life.begin();
  await life.take(one);
  const lines: string[] = [];
  await life.take(two, { dryRun: (line) => void lines.push(line) });
  expect(lines).toEqual([
    "add domain new.nl",
    "add user els@new.nl",
    "change user jan@example.nl: new password",
    "remove user piet@example.nl",
    "end open sessions of jan@example.nl",
    "end open sessions of piet@example.nl",
  ]);
  expect(served(life.out).addresses).toEqual(["jan@example.nl", "piet@example.nl"]);
});

test.each([false, true])(
  "a domain alias goes over to another domain at once: a daemon finds the one's addresses or the other's (whole: %s)",
  async (whole) => {
    const users = ["old@a.nl", "both@a.nl", "new@b.nl", "both@b.nl"].map((address) => user(address));
    const aliases = ["a.nl", "b.nl"].map((domain) => ({
      alias: `info@${domain}`,
      targets: [`both@${domain}`],
      send_as: false,
    }));
    const serving = (revision: number, of: string) =>
      stateOf(revision, ["a.nl", "b.nl"], users, { aliases, domainAliases: [{ domain_alias: "c.nl", of }] });
    const life = await Life.begin();
    await life.take(serving(1, "a.nl"));
    const answers = () => ({
      domain: daemons.domain(life.out, "c.nl"),
      mailboxes: ["old@c.nl", "new@c.nl"].map((one) => daemons.mailbox(life.out, one)),
      sender: daemons.sender(life.out, "both@c.nl"),
      leads: daemons.leads(life.out, "info@c.nl"),
      login: daemons.login(life.out, "both@c.nl"),
    });
    const ofDomain = (name: string) => ({
      domain: ["OK"],
      mailboxes: name === "a.nl" ? [["OK"], []] : [[], ["OK"]],
      sender: [`both@${name}#1`],
      leads: [`both@${name}`],
      login: [`both@${name} ${hash("a")}`],
    });
    expect(answers()).toEqual(ofDomain("a.nl"));
    // The answers after each step of the node.
    const seen: unknown[] = [];
    const { db } = life.replica;
    const run = db.run.bind(db);
    db.run = async (...given) => {
      const printed = await run(...given);
      seen.push(answers());
      return printed;
    };
    await life.take(serving(2, "b.nl"), { whole });
    expect(answers()).toEqual(ofDomain("b.nl"));
    expect(seen.length).toBeGreaterThan(5);
    const change = seen.findIndex((one) => isDeepStrictEqual(one, ofDomain("b.nl")));
    expect(seen.slice(0, change)).toEqual(Array(change).fill(ofDomain("a.nl")));
    expect(seen.slice(change)).toEqual(Array(seen.length - change).fill(ofDomain("b.nl")));
  },
);
