import { expect, test } from "vitest";
import { operator, type Principal, scopes } from "../../../tools/call/principal.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { kept, rawDatabase, recount, servedState } from "../../support/recount.ts";
import { PASSWORD, stateOf, type TestStore, testStore, toolOf } from "../../support/store.ts";

/** A token for a.nl. */
const limited: Principal = {
  name: "a",
  door: "mcp",
  scopes: new Set(scopes),
  domains: new Set(["a.nl"]),
};

async function withMailboxes(...emails: string[]): Promise<TestStore> {
  const made = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  for (const domain of new Set(emails.map((email) => email.split("@")[1])))
    await made.must("add-domain", { domain });
  for (const email of emails) await made.must("add-user", { email, password: PASSWORD });
  return made;
}

/** Approves all targets of an alias that wait. */
async function approve({ must }: TestStore, address: string): Promise<unknown> {
  const { waiting } = (await must("list-waiting-aliases", { address })) as {
    waiting: Array<{ target: string }>;
  };
  return must("approve-alias", { address, targets: waiting.map(({ target }) => target) });
}

async function listed({ must }: TestStore, input: object = {}): Promise<unknown> {
  return (await must("list-aliases", input)).aliases;
}

test("an alias leads to mailboxes, also through another alias, and a mailbox of its name keeps a copy", async () => {
  const made = await withMailboxes("jan@a.nl", "piet@a.nl", "info@a.nl");
  const { must } = made;
  expect(await must("set-alias", { address: "sales@a.nl", targets: ["jan@a.nl", "jan@a.nl"] })).toMatchObject(
    {
      address: "sales@a.nl",
      targets: ["jan@a.nl"],
      live_targets: ["jan@a.nl"],
      pending_targets: [],
      created: true,
      revision: 5,
    },
  );
  const input = { address: "info@a.nl", targets: ["piet@a.nl", "sales@a.nl"] };
  const live = ["info@a.nl", "jan@a.nl", "piet@a.nl"];
  expect(await must("set-alias", input)).toMatchObject({ live_targets: live, created: true });
  expect(await must("set-alias", input)).toMatchObject({ live_targets: live, created: false });
  expect(await listed(made, { target: "sales@a.nl" })).toMatchObject([{ address: "info@a.nl" }]);
  await must("remove-user", { email: "jan@a.nl" });
  expect(await listed(made)).toMatchObject([
    { address: "info@a.nl", live_targets: ["info@a.nl", "piet@a.nl"], dead_targets: ["sales@a.nl"] },
    { address: "sales@a.nl", live_targets: [], dead_targets: ["jan@a.nl"] },
  ]);
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  expect(await listed(made)).toMatchObject([{ live_targets: live }, { live_targets: ["jan@a.nl"] }]);
});

test("what a removal returns puts the alias back", async () => {
  const { must, run } = await withMailboxes("jan@a.nl");
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"], send_as: true });
  const { address, targets, send_as } = await must("remove-alias", { address: "info@a.nl" });
  expectRefusal(await run("remove-alias", { address: "info@a.nl" }), "alias_not_found", ["list-aliases"]);
  expect(await must("set-alias", { address, targets, send_as })).toMatchObject({
    live_targets: ["jan@a.nl"],
  });
});

test("*@ in place of @ for a catch-all is told apart from a wrong name", async () => {
  const { run } = await withMailboxes("jan@a.nl");
  const outcome = await run("set-alias", { address: "*@a.nl", targets: ["jan@a.nl"] });
  expect(expectRefusal(outcome, "invalid_input")).toContain("The address of a catch-all begins with @.");
});

test("the audit log has an alias's targets as addresses", async () => {
  const { must } = await withMailboxes("jan@a.nl");
  const input = { address: "info@a.nl", targets: ["jan@a.nl"], send_as: true };
  await must("set-alias", input);
  const { entries } = (await must("read-audit")) as { entries: Array<Record<string, unknown>> };
  expect(entries.find(({ tool }) => tool === "set-alias")).toMatchObject({ arguments: input });
});

test("loops, targets that do not exist, and a catch-all that may send are refused, and change nothing", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  await must("set-alias", { address: "one@a.nl", targets: ["jan@a.nl"] });
  await must("set-alias", { address: "two@a.nl", targets: ["one@a.nl"] });
  const before = await listed(made);
  const refused = [
    ["invalid_input", { address: "one@a.nl", targets: ["jan@a.nl", "two@a.nl"] }],
    ["invalid_input", { address: "one@a.nl", targets: ["one@a.nl"] }],
    ["user_not_found", { address: "one@a.nl", targets: ["jna@a.nl"] }],
    ["invalid_input", { address: "@a.nl", targets: ["jan@a.nl"], send_as: true }],
    ["invalid_input", { address: "one@a.nl", targets: [] }],
    ["domain_not_found", { address: "one@b.nl", targets: ["jan@a.nl"] }],
  ] as const;
  for (const [code, input] of refused) expectRefusal(await run("set-alias", input), code);
  expect(await listed(made)).toEqual(before);
});

test("a target outside gets nothing until a person approves it, or its domain", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  const targets = ["jan@a.nl", "boss@out.nl"];
  const input = { address: "info@a.nl", targets };
  const waiting = { live_targets: ["jan@a.nl"], pending_targets: ["boss@out.nl"] };
  expect(await must("set-alias", input)).toMatchObject(waiting);
  expect(await must("list-waiting-aliases")).toEqual({
    waiting: [{ alias: "info@a.nl", target: "boss@out.nl", leads_to: [], also_from: [] }],
  });
  for (const wrong of [["jan@a.nl"], ["boss@out.nl", "jan@a.nl"], []])
    expectRefusal(await run("approve-alias", { address: "info@a.nl", targets: wrong }), "alias_not_found");
  expect(await must("approve-alias", { address: "info@a.nl", targets: ["boss@out.nl"] })).toMatchObject({
    approved: ["boss@out.nl"],
  });
  const approved = { live_targets: ["boss@out.nl", "jan@a.nl"], pending_targets: [] };
  expect(await must("set-alias", input)).toMatchObject(approved);
  await must("remove-alias", { address: "info@a.nl" });
  expect(await must("set-alias", input)).toMatchObject(waiting);
  await must("set-approved-domains", { add: "out.nl" });
  expect(await must("set-alias", { address: "other@a.nl", targets })).toMatchObject(approved);
  expect(await must("set-alias", { ...input, targets: ["boss@out.nl", "x@else.nl"] })).toMatchObject({
    live_targets: ["boss@out.nl"],
    pending_targets: ["x@else.nl"],
  });
});

test("a forward that a person approved carries no other address's mail until a person approves that, too", async () => {
  const made = await withMailboxes("jan@a.nl", "ceo@a.nl");
  const { must, run } = made;
  await must("set-domain-alias", { domain: "b.nl", of: "a.nl" });
  await must("set-alias", { address: "old@a.nl", targets: ["jan@a.nl"] });
  await must("set-alias", { address: "jan@a.nl", targets: ["jan@out.nl"] });
  expect(await must("list-waiting-aliases")).toMatchObject({
    waiting: [{ alias: "jan@a.nl", target: "jan@out.nl", also_from: ["old@a.nl"] }],
  });
  await approve(made, "jan@a.nl");
  expect(await listed(made, { target: "jan@a.nl" })).toMatchObject([
    { live_targets: ["jan@a.nl", "jan@out.nl"] },
  ]);
  for (const address of ["ceo@a.nl", "@a.nl", "new@a.nl"])
    for (const target of ["jan@a.nl", "jan@b.nl", "old@a.nl"])
      expect(await run("set-alias", { address, targets: [target] }, limited)).toMatchObject({
        value: { live_targets: address === "ceo@a.nl" ? ["ceo@a.nl"] : [], pending_targets: [target] },
      });
  expect(await must("list-waiting-aliases")).toMatchObject({
    waiting: [
      { alias: "@a.nl" },
      { alias: "ceo@a.nl", target: "old@a.nl", leads_to: ["jan@a.nl", "jan@out.nl"] },
      { alias: "new@a.nl" },
    ],
  });
  const input = { address: "new@a.nl", targets: ["old@a.nl"] };
  await approve(made, "new@a.nl");
  expect(await must("set-alias", input)).toMatchObject({ live_targets: ["jan@a.nl", "jan@out.nl"] });
  await must("set-approved-domains", { add: "out.nl" });
  expect(await must("set-alias", { ...input, address: "@a.nl" })).toMatchObject({ pending_targets: [] });
});

test("a domain alias that comes to lead elsewhere carries no alias's mail outside without a person", async () => {
  const made = await withMailboxes("jan@a.nl", "jan@b.nl", "ceo@b.nl");
  const { must, run } = made;
  await must("set-domain-alias", { domain: "c.nl", of: "b.nl" });
  await must("set-alias", { address: "ceo@b.nl", targets: ["jan@c.nl"] });
  await must("set-alias", { address: "jan@a.nl", targets: ["jan@out.nl"] });
  await approve(made, "jan@a.nl");
  const before = await must("list-aliases");
  for (const principal of [operator("cli"), { ...limited, domains: new Set(["a.nl", "c.nl"]) }]) {
    const refused = await run("set-domain-alias", { domain: "c.nl", of: "a.nl" }, principal);
    expectRefusal(refused, "invalid_input", ["list-aliases"]);
    expect(JSON.stringify(refused).includes("out.nl")).toBe(principal.domains === undefined);
  }
  expect(await must("list-aliases")).toEqual(before);
  await must("set-approved-domains", { add: "out.nl" });
  await must("set-domain-alias", { domain: "c.nl", of: "a.nl" });
  await must("set-domain-alias", { domain: "c.nl", of: "b.nl" });
});

test("a refused target is taken out of its alias, and an alias without others is gone", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl", "x@out.nl", "y@out.nl"] });
  const refused = await must("refuse-alias", { address: "info@a.nl", target: "x@out.nl" });
  expect(refused).toMatchObject({ address: "info@a.nl", refused: ["x@out.nl"], removed: false });
  expect(await listed(made)).toMatchObject([{ targets: ["jan@a.nl", "y@out.nl"] }]);
  expect(await must("refuse-alias", { address: "info@a.nl" })).toMatchObject({ refused: ["y@out.nl"] });
  expectRefusal(await run("refuse-alias", { address: "info@a.nl" }), "alias_not_found");
  await must("set-alias", { address: "out@a.nl", targets: ["x@out.nl"] });
  expect(await must("refuse-alias", { address: "out@a.nl" })).toMatchObject({ removed: true });
  expect(await listed(made)).toMatchObject([{ address: "info@a.nl", live_targets: ["jan@a.nl"] }]);
});

test("nobody gets mail outside by registering a domain and removing it again", async () => {
  const made = await withMailboxes("jan@a.nl", "thief@out.nl");
  const { must } = made;
  const input = { address: "info@a.nl", targets: ["thief@out.nl"] };
  expect(await must("set-alias", input)).toMatchObject({
    live_targets: ["thief@out.nl"],
    pending_targets: [],
  });
  await must("remove-user", { email: "thief@out.nl" });
  await must("remove-domain", { domain: "out.nl" });
  expect(await listed(made)).toMatchObject([{ live_targets: [], dead_targets: ["thief@out.nl"] }]);
  expect(await must("set-alias", input)).toMatchObject({
    live_targets: [],
    pending_targets: ["thief@out.nl"],
  });
});

test("an approved target outside is no longer mailed once its domain is registered here without that mailbox", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must } = made;
  await must("set-alias", { address: "info@a.nl", targets: ["boss@b.nl"] });
  await approve(made, "info@a.nl");
  await must("add-domain", { domain: "b.nl" });
  expect(await listed(made)).toMatchObject([{ live_targets: [], dead_targets: ["boss@b.nl"] }]);
  await must("add-user", { email: "boss@b.nl", password: PASSWORD });
  expect(await listed(made)).toMatchObject([{ live_targets: ["boss@b.nl"], dead_targets: [] }]);
});

test("a token for one domain meets another's mailbox as an address outside, whether it exists or not", async () => {
  const made = await withMailboxes("jan@a.nl", "jan@b.nl");
  const { must, run } = made;
  await must("set-alias", { address: "list@b.nl", targets: ["jan@a.nl"] });
  const answers = [];
  for (const target of ["jan@b.nl", "list@b.nl", "nobody@b.nl", "jan@x.nl"]) {
    const input = { address: "info@a.nl", targets: [target] };
    const told = [await run("set-alias", input, limited), await run("list-aliases", {}, limited)];
    await approve(made, "info@a.nl");
    told.push(await run("set-alias", input, limited), await run("list-aliases", {}, limited));
    answers.push(JSON.stringify(told).replaceAll(target, "TARGET"));
    await must("remove-alias", { address: "info@a.nl" });
  }
  expect(new Set(answers).size).toBe(1);
  const [answer = ""] = answers;
  expect(answer).toContain('"pending_targets":["TARGET"]');
  expect(answer).toContain('"live_targets":["TARGET"]');
});

test("a token for one domain sees and changes no alias of another", async () => {
  const made = await withMailboxes("jan@a.nl", "jan@b.nl");
  const { must, run } = made;
  await must("set-alias", { address: "info@b.nl", targets: ["jan@b.nl", "jan@a.nl"] });
  await must("set-domain-alias", { domain: "c.nl", of: "b.nl" });
  expect(await run("list-aliases", {}, limited)).toMatchObject({
    value: { aliases: [], domain_aliases: [], total: 0 },
  });
  expect(await run("list-aliases", { target: "jan@a.nl" }, limited)).toMatchObject({
    value: { aliases: [], total: 0 },
  });
  const calls = [
    ["set-alias", { address: "info@b.nl", targets: ["jan@a.nl"] }, "domain_not_found"],
    ["remove-alias", { address: "info@b.nl" }, "alias_not_found"],
    ["list-aliases", { domain: "b.nl" }, "domain_not_found"],
    ["set-domain-alias", { domain: "c.nl", of: "a.nl" }, "forbidden"],
    ["set-domain-alias", { domain: "c.nl", of: null }, "alias_not_found"],
    ["set-domain-alias", { domain: "b.nl", of: "a.nl" }, "forbidden"],
  ] as const;
  for (const [endpoint, input, code] of calls) expectRefusal(await run(endpoint, input, limited), code);
});

test("a domain alias is a name of its own: no domain, and for a domain that is registered", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  expect(await must("set-domain-alias", { domain: "b.nl", of: "a.nl" })).toMatchObject({
    domain: "b.nl",
    of: "a.nl",
  });
  expectRefusal(await run("add-domain", { domain: "b.nl" }), "domain_exists");
  expectRefusal(await run("set-domain-alias", { domain: "c.nl", of: "b.nl" }), "domain_not_found");
  expectRefusal(await run("set-domain-alias", { domain: "a.nl", of: "a.nl" }), "domain_exists");
  expect(await must("set-alias", { address: "info@a.nl", targets: ["jan@b.nl"] })).toMatchObject({
    live_targets: ["jan@a.nl"],
  });
  expectRefusal(
    await run("set-alias", { address: "jan@a.nl", targets: ["info@b.nl", "jan@b.nl"] }),
    "invalid_input",
  );
  await must("remove-user", { email: "jan@a.nl" });
  expectRefusal(await run("remove-domain", { domain: "a.nl" }), "domain_has_aliases", [
    "list-aliases",
    "remove-alias",
    "set-domain-alias",
  ]);
  await must("set-domain-alias", { domain: "b.nl", of: null });
  expect(await listed(made)).toMatchObject([{ live_targets: [], dead_targets: ["jan@b.nl"] }]);
});

test("at most 1,000 addresses get an alias's mail, and at most 1,000 aliases lead to one mailbox", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  await must("set-approved-domains", { add: "out.nl" });
  const group = (number: number) =>
    Array.from({ length: 100 }, (_, index) => `x${number * 100 + index}@out.nl`);
  for (let number = 0; number < 10; number += 1)
    await must("set-alias", { address: `g${number}@a.nl`, targets: group(number) });
  const groups = Array.from({ length: 10 }, (_, number) => `g${number}@a.nl`);
  expectRefusal(await run("set-alias", { address: "all@a.nl", targets: groups }), "invalid_input");
  await must("set-alias", { address: "all@a.nl", targets: groups.slice(1) });
  const all_aliases = Array.from({ length: 1000 }, (_, number) => ({
    address: `j${number}@a.nl`,
    place: "",
    targets: ["jan@a.nl"],
    send_as: false,
  }));
  const nothing = { from: "csv", files: [], domains: [], mailbox_count: 0, mailboxes_with_passwords: [] };
  await must("import", { ...nothing, all_aliases });
  expectRefusal(await run("set-alias", { address: "more@a.nl", targets: ["jan@a.nl"] }), "invalid_input");
  expect(await must("remove-user", { email: "jan@a.nl" })).toMatchObject({ deleted: "soft" });
});

test("at most 100 aliases lead to an alias, also through others", async () => {
  const { must, run } = await withMailboxes("jan@a.nl");
  await must("set-alias", { address: "c0@a.nl", targets: ["jan@a.nl"] });
  for (let number = 1; number <= 100; number += 1)
    await must("set-alias", { address: `c${number}@a.nl`, targets: [`c${number - 1}@a.nl`] });
  expectRefusal(await run("set-alias", { address: "c101@a.nl", targets: ["c100@a.nl"] }), "invalid_input");
  expect(await must("set-alias", { address: "c101@a.nl", targets: ["jan@a.nl"] })).toMatchObject({
    live_targets: ["jan@a.nl"],
  });
});

test("a domain alias that moves leads no more aliases to an address than they may themselves", async () => {
  const { must, run, file } = await withMailboxes("jan@a.nl", "piet@b.nl");
  await must("set-alias", { address: "jan@b.nl", targets: ["piet@b.nl"] });
  await must("set-domain-alias", { domain: "d.nl", of: "a.nl" });
  for (let number = 0; number <= 100; number += 1)
    await must("set-alias", { address: `c${number}@a.nl`, targets: ["jan@d.nl"] });
  const before = kept(rawDatabase(file));
  const move = { domain: "d.nl", of: "b.nl" };
  expect(expectRefusal(await run("set-domain-alias", move), "invalid_input")).toBe(
    "More than 100 aliases would lead to jan@b.nl.",
  );
  expect(kept(rawDatabase(file))).toEqual(before);
  await must("remove-alias", { address: "c0@a.nl" });
  expect(await must("set-domain-alias", move)).toMatchObject({ of: "b.nl" });
});

test("a refusal for too many aliases or addresses names none of another domain", async () => {
  const made = await withMailboxes("jan@a.nl", "jan@b.nl");
  const { must, run } = made;
  const group = (number: number) => Array.from({ length: 100 }, (_, at) => `x${number * 100 + at}@out.nl`);
  await must("set-approved-domains", { add: "out.nl" });
  for (let number = 0; number < 9; number += 1)
    await must("set-alias", { address: `g${number}@b.nl`, targets: group(number) });
  await must("set-alias", { address: "list@a.nl", targets: ["jan@a.nl"] });
  const all = Array.from({ length: 9 }, (_, number) => `g${number}@b.nl`);
  await must("set-alias", { address: "all@b.nl", targets: [...all, "list@a.nl"] });
  const wide = await run("set-alias", { address: "list@a.nl", targets: group(9) }, limited);
  expectRefusal(wide, "invalid_input");
  expect(JSON.stringify(wide)).not.toContain("b.nl");
});

test("a token for one domain is never refused because of the aliases of another", async () => {
  const { must, run } = await withMailboxes("jan@a.nl", "jan@b.nl");
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"] });
  await must("set-approved-domains", { add: "a.nl" });
  await must("set-approved-domains", { add: "b.nl" });
  await must("set-alias", { address: "secret@b.nl", targets: ["jan@b.nl"] });
  for (let number = 0; number < 100; number += 1) {
    await must("set-alias", { address: `s${number}@b.nl`, targets: ["secret@b.nl"] });
    await must("set-alias", { address: `t${number}@b.nl`, targets: ["info@a.nl"] });
  }
  const set = (address: string, target: string) => run("set-alias", { address, targets: [target] }, limited);
  // secret@b.nl is an alias that 100 lead to, and to this token an address outside.
  expect(await set("more@a.nl", "s0@b.nl")).toMatchObject({ ok: true });
  for (let number = 0; number < 100; number += 1)
    expect(await set(`u${number}@a.nl`, "info@a.nl")).toMatchObject({ ok: true });
  expectRefusal(await set("last@a.nl", "info@a.nl"), "invalid_input");
  // An operator's call counts all.
  expectRefusal(await run("set-alias", { address: "v@b.nl", targets: ["info@a.nl"] }), "invalid_input");
});

test("a list of aliases has pages, with the catch-all first", async () => {
  const { must } = await withMailboxes("jan@a.nl", "jan@b.nl");
  const addresses = ["@a.nl", "info@a.nl", "sales@a.nl", "@b.nl", "info@b.nl"];
  for (const address of addresses) await must("set-alias", { address, targets: ["jan@a.nl"] });
  const seen: string[] = [];
  for (let cursor: unknown; cursor !== null; ) {
    const page = await must("list-aliases", { limit: 2, ...(cursor !== undefined && { cursor }) });
    expect(page.total).toBe(5);
    seen.push(...(page.aliases as Array<{ address: string }>).map(({ address }) => address));
    cursor = page.next_cursor;
  }
  expect(seen).toEqual(addresses);
});

test("a page of aliases ends early when they lead to very many addresses", async () => {
  const { must } = await withMailboxes("jan@a.nl");
  await must("set-approved-domains", { add: "out.nl" });
  for (let number = 0; number < 9; number += 1) {
    const targets = Array.from({ length: 100 }, (_, at) => `x${number * 100 + at}@out.nl`);
    await must("set-alias", { address: `g${number}@a.nl`, targets });
  }
  const groups = Array.from({ length: 9 }, (_, number) => `g${number}@a.nl`);
  const wide = Array.from({ length: 15 }, (_, number) => `wide${String(number).padStart(2, "0")}@a.nl`);
  for (const address of wide) await must("set-alias", { address, targets: groups });
  const first = await must("list-aliases", { limit: 1000 });
  const second = await must("list-aliases", { limit: 1000, cursor: first.next_cursor });
  expect([first.total, second.next_cursor]).toEqual([24, null]);
  const seen = [first, second].flatMap(({ aliases }) => aliases as Array<{ address: string }>);
  expect(seen.map(({ address }) => address)).toEqual([...groups, ...wide]);
  expect((first.aliases as unknown[]).length).toBeLessThan(24);
});

test("aliases that name a mailbox follow it when it is renamed, and nodes get all of it in one revision", async () => {
  const made = await withMailboxes("jan@a.nl", "piet@a.nl", "els@b.nl");
  const { must, store, file } = made;
  await must("set-domain-alias", { domain: "c.nl", of: "a.nl" });
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl", "piet@a.nl"] });
  await must("set-alias", { address: "sales@b.nl", targets: ["jan@c.nl"], send_as: true });
  await must("set-alias", { address: "all@b.nl", targets: ["info@a.nl", "els@b.nl"] });
  await must("set-alias", { address: "@b.nl", targets: ["piet@a.nl"] });
  await must("set-postmaster", { address: "jan@a.nl" });
  const { revision } = await stateOf(store);
  const renamed = await must("rename-user", { email: "jan@a.nl", new_email: "smit@b.nl" });
  expect(renamed).toMatchObject({
    aliases: ["postmaster@", "abuse@", "info@a.nl", "sales@b.nl"],
    kept_alias: false,
    revision: revision + 1,
  });
  toolOf("rename-user").output.strict().parse(renamed);
  expect(await listed(made)).toMatchObject([
    { address: "info@a.nl", targets: ["piet@a.nl", "smit@b.nl"], live_targets: ["piet@a.nl", "smit@b.nl"] },
    { address: "@b.nl", live_targets: ["piet@a.nl"] },
    { address: "all@b.nl", live_targets: ["els@b.nl", "piet@a.nl", "smit@b.nl"] },
    { address: "sales@b.nl", targets: ["smit@b.nl"], send_as: true, live_targets: ["smit@b.nl"] },
  ]);
  const { aliases } = await servedState(store);
  expect(aliases.get("@")).toMatchObject({ targets: ["smit@b.nl"] });
  expect(aliases.get("sales@b.nl")).toMatchObject({ targets: ["smit@b.nl"] });
  const raw = rawDatabase(file);
  expect(kept(raw)).toEqual(recount(raw));
});

test("a target that waits goes on waiting when its mailbox is renamed", async () => {
  const made = await withMailboxes("jan@a.nl", "els@b.nl");
  const input = { address: "info@a.nl", targets: ["els@b.nl"] };
  expect(await made.run("set-alias", input, limited)).toMatchObject({
    value: { pending_targets: ["els@b.nl"] },
  });
  await made.must("rename-user", { email: "els@b.nl", new_email: "eva@b.nl" });
  expect(await listed(made)).toMatchObject([{ live_targets: [], pending_targets: ["eva@b.nl"] }]);
});

test("an alias of the new address stays for its other targets, and goes if it had none", async () => {
  const made = await withMailboxes("jan@a.nl", "piet@a.nl");
  const { must } = made;
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"] });
  await must("rename-user", { email: "jan@a.nl", new_email: "info@a.nl" });
  expect(await listed(made)).toEqual([]);
  await must("set-alias", { address: "sales@a.nl", targets: ["info@a.nl", "piet@a.nl"] });
  await must("rename-user", { email: "info@a.nl", new_email: "sales@a.nl" });
  expect(await listed(made)).toMatchObject([
    { address: "sales@a.nl", targets: ["piet@a.nl"], live_targets: ["piet@a.nl", "sales@a.nl"] },
  ]);
});

test("an alias of the old address stays, and nobody who got mail through it loses it", async () => {
  const made = await withMailboxes("jan@a.nl", "piet@a.nl");
  const { must, run } = made;
  await must("set-alias", { address: "jan@a.nl", targets: ["piet@a.nl"] });
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"] });
  const rename = { email: "jan@a.nl", new_email: "smit@a.nl" };
  expect(expectRefusal(await run("rename-user", { ...rename, keep_alias: true }), "invalid_input")).toContain(
    "is an alias already",
  );
  await must("rename-user", rename);
  expect(await listed(made)).toMatchObject([
    { address: "info@a.nl", live_targets: ["piet@a.nl", "smit@a.nl"], dead_targets: [] },
    { address: "jan@a.nl", live_targets: ["piet@a.nl"] },
  ]);
});

test("the old address stays as an alias on request", async () => {
  const made = await withMailboxes("jan@a.nl", "els@b.nl");
  const { must } = made;
  await must("set-alias", { address: "info@a.nl", targets: ["jan@a.nl"] });
  const rename = { email: "jan@a.nl", new_email: "jan@b.nl", keep_alias: true };
  expect(await must("rename-user", rename)).toMatchObject({ aliases: ["info@a.nl"], kept_alias: true });
  expect(await listed(made)).toMatchObject([
    { address: "info@a.nl", targets: ["jan@b.nl"], live_targets: ["jan@b.nl"] },
    { address: "jan@a.nl", targets: ["jan@b.nl"], live_targets: ["jan@b.nl"], send_as: false },
  ]);
});

test("a rename that would make a circle of aliases is refused, and changes nothing", async () => {
  const made = await withMailboxes("jan@a.nl");
  const { must, run } = made;
  await must("set-alias", { address: "one@a.nl", targets: ["jan@a.nl"] });
  await must("set-alias", { address: "two@a.nl", targets: ["one@a.nl"] });
  const before = [await listed(made), await must("list-users")];
  const rename = { email: "jan@a.nl", new_email: "two@a.nl" };
  expectRefusal(await run("rename-user", rename), "invalid_input", ["remove-alias"]);
  expect([await listed(made), await must("list-users")]).toEqual(before);
});
