import { expect, test } from "vitest";
import type { Report } from "../../src/sync/report.ts";
import { viewOf } from "../../src/sync/view.ts";
import { credentialId } from "../../tools/call/credential.ts";
import { appliedReport } from "../support/applied-report.ts";
import { commandsIn, expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, type TestStore, testStore, toolOf } from "../support/store.ts";

test("a node is registered with a key that is shown once and stored only as a hash", async () => {
  const { must, file } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const added = await must("add-node", { name: "pi-amsterdam", ip_address: "2001:DB8::7" });
  expect(added).toEqual({
    name: "pi-amsterdam",
    ip_address: "2001:db8::7",
    sync_key: expect.stringMatching(/^m25key_[0-9a-f]{16}_[0-9a-f]{64}$/),
    created_at: "2026-03-01T12:00:00.000Z",
    next_step: expect.arrayContaining([{ node: expect.stringMatching(/^join /) }]),
  });
  toolOf("add-node").output.strict().parse(added);
  const secret = String(added.sync_key).split("_")[2] ?? "";
  expect(JSON.stringify(rawDatabase(file).prepare("SELECT * FROM nodes, audit_log").all())).not.toContain(
    secret,
  );
  expect(JSON.stringify(await must("list-nodes"))).not.toMatch(/m25key|key_hash/);
});

test("each node's key is different, and an address is optional", async () => {
  const { must } = testStore();
  const one = await must("add-node", { name: "one" });
  const two = await must("add-node", { name: "two" });
  expect(one.ip_address).toBeNull();
  expect(credentialId("syncKey", String(one.sync_key))).not.toBe(
    credentialId("syncKey", String(two.sync_key)),
  );
});

test("a taken name is refused, and the first node keeps its key", async () => {
  const { must, run, file } = testStore();
  await must("add-node", { name: "pi" });
  const hash = () => rawDatabase(file).prepare("SELECT key_hash FROM nodes").pluck().all();
  const before = hash();
  expectRefusal(await run("add-node", { name: "pi" }), "node_exists");
  expect(hash()).toEqual(before);
});

test.each([
  { name: "" },
  { name: "-pi" },
  { name: "Pi" },
  { name: "pi amsterdam" },
  { name: "pi\n" },
  { name: "p".repeat(64) },
  { name: "pi", ip_address: "example.nl" },
  { name: "pi", ip_address: "" },
  { name: "pi", ip_address: "192.0.2.0/33" },
  { name: "pi", ip_address: null },
  { name: "pi", sync_key: "mine" },
])("the node %j is refused", async (input) => {
  const { run } = testStore();
  expectRefusal(await run("add-node", input), "invalid_input");
});

test("accepting removals tells how many were withheld and on which nodes to repeat it", async () => {
  const { must, store } = testStore();
  await must("add-domain", { domain: "a.nl" });
  for (const name of ["mx", "pi"]) await must("add-node", { name });
  const ids = new Map((await store.read(({ nodes }) => nodes.all())).map(({ name, id }) => [name, id]));
  const report = async (name: string, said: Partial<Report>) => {
    const whole = { ...(await appliedReport(store)), ...said };
    const at = new Date().toISOString();
    return store.write(({ nodes }) => nodes.recordReport(ids.get(name) ?? 0, whole, at));
  };
  const withheld = (count: number) =>
    ({ status: "withheld", reason: "removals_withheld", count, version: "1" }) as const;
  const accept = async (whom: { name: string } | { all: true }) => {
    const accepted = await must("accept-removals", whom);
    toolOf("accept-removals").output.strict().parse(accepted);
    return accepted;
  };
  await report("pi", {});
  expect(await accept({ name: "pi" })).toEqual({
    names: ["pi"],
    revision: 1,
    withheld: 0,
    takes_effect: "nothing is withheld now; this lets through removals up to revision 1",
    not_arrived: [],
  });
  await report("pi", withheld(17));
  const both = { names: ["mx", "pi"], withheld: 17, not_arrived: ["mx"] };
  const mixed = /^at once on a node that waits.*; not on the nodes in not_arrived: /;
  expect(await accept({ all: true })).toMatchObject({ ...both, takes_effect: expect.stringMatching(mixed) });
  await report("mx", { history: "f".repeat(32), ...withheld(500) });
  expect(await accept({ all: true })).toMatchObject(both);
  expect(await accept({ name: "mx" })).toMatchObject({
    names: ["mx"],
    withheld: 0,
    takes_effect: expect.stringMatching(
      /^not on the nodes in not_arrived: .* m25-mail node list shows them withholding$/,
    ),
    not_arrived: ["mx"],
  });
  await report("mx", withheld(5));
  expect(await accept({ all: true })).toMatchObject({ withheld: 22, not_arrived: [] });
  // An older program names what it withholds only if nothing else is wrong.
  await report("mx", { status: "failed", reason: "disk_full", version: "1" });
  expect(await accept({ name: "mx" })).toMatchObject({
    withheld: 0,
    takes_effect: expect.stringMatching(/^at once on a node that waits.*; mx: not known how many removals/),
  });
});

const WEAK = "{MD5-CRYPT}$1$DCGN63z1$LhUzk7wgb4rTosHgFt/EC.";

test("a weak hash is imported only where each node with mailboxes has reported Dovecot 2.3", async () => {
  const now = new Date("2026-03-01T12:00:00Z");
  const { must, store } = testStore({ now: () => now });
  const imported = async (address: string) => {
    const mailbox = { address, place: "line 1", password: { hash: WEAK }, quota_mb: 5, active: true };
    const given = {
      domains: [],
      mailboxes_with_passwords: [mailbox],
      mailbox_count: 1,
      from: "csv",
      files: [],
    };
    const { mailboxes } = await must("import", given);
    return (mailboxes as Array<Record<string, unknown>>)[0];
  };
  const report = async (id: number, dovecot?: string) => {
    const said = { ...(await appliedReport(store)), ...(dovecot && { dovecot }) };
    await store.write(({ nodes }) => nodes.recordReport(id, said, now.toISOString()));
  };
  const call = (id: number) =>
    store.recordContacts({ nodes: new Map([[id, "192.0.2.9"]]), tokens: new Set(), at: now.toISOString() });
  const needsNew = { outcome: "new_password", reason: expect.stringContaining("MD5-CRYPT") };
  for (const name of ["one", "two"]) await must("add-node", { name });

  expect(await imported("a@a.nl")).toMatchObject(needsNew);
  await report(1, "2.3");
  expect(await imported("b@a.nl")).toEqual({ name: "b@a.nl", outcome: "taken" });
  await call(2);
  expect(await imported("c@a.nl")).toMatchObject(needsNew);
  await report(2);
  expect(await imported("d@a.nl")).toMatchObject(needsNew);
  await report(2, "2.4");
  expect(await imported("e@a.nl")).toMatchObject(needsNew);
  await must("remove-node", { name: "two" });
  expect(await imported("f@b.nl")).toEqual({ name: "f@b.nl", outcome: "taken" });
  expect(await must("list-weak")).toEqual({ mailboxes: [{ email: "b@a.nl" }, { email: "f@b.nl" }] });
});

test("a later node whose Dovecot refuses hashes that are there is failing, with their number", async () => {
  const now = new Date("2026-03-01T12:00:00Z");
  const { must, store } = testStore({ now: () => now });
  await must("add-node", { name: "old" });
  const report = async (id: number, dovecot: string) => {
    const seen = { nodes: new Map([[id, "192.0.2.9"]]), tokens: new Set<number>(), at: now.toISOString() };
    await store.recordContacts(seen as never);
    const said = { ...(await appliedReport(store)), dovecot };
    await store.write(({ nodes }) => nodes.recordReport(id, said, now.toISOString()));
  };
  await report(1, "2.3");
  const people = ["a@a.nl", "b@a.nl", "c@b.nl"].map((address) => ({
    ...{ address, place: "", password: { hash: WEAK }, quota_mb: 5, active: true },
  }));
  await must("import", {
    ...{ domains: [], mailboxes_with_passwords: people, mailbox_count: 3, from: "csv", files: [] },
  });
  await must("add-node", { name: "young" });
  await report(1, "2.3");
  await report(2, "2.4");
  const nodes = async () => (await must("list-nodes")).nodes as Array<Record<string, unknown>>;
  const failing = { name: "young", status: "failing", reason: "hashes_refused" };
  expect(await nodes()).toMatchObject([
    { name: "old", status: "current", reason: null },
    { ...failing, reason_count: 3 },
  ]);
  await must("update-password", { email: "a@a.nl", password: PASSWORD });
  await must("remove-user", { email: "b@a.nl" });
  await report(2, "2.4");
  expect(await nodes()).toMatchObject([{}, { ...failing, reason_count: 1 }]);
  await must("update-password", { email: "c@b.nl", password: PASSWORD });
  await report(2, "2.4");
  expect(await nodes()).toMatchObject([{}, { name: "young", status: "current", reason: null }]);
  expect((await must("list-node-details")).nodes).toMatchObject([{ dovecot: "2.3" }, { dovecot: "2.4" }]);
});

interface Seen {
  /** Minutes since the node's last contact; undefined if it never called. */
  contact?: number;
  report?: Partial<Report>;
}

/** Returns the list's entry for a node in a state of revision 2. */
async function listed({ contact, report }: Seen): Promise<Record<string, unknown>> {
  const now = new Date("2026-03-01T12:00:00Z");
  const made: TestStore = testStore({ now: () => now });
  await made.must("add-domain", { domain: "a.nl" });
  await made.must("add-domain", { domain: "b.nl" });
  await made.must("add-node", { name: "pi" });
  const whole = await appliedReport(made.store);
  const [node] = await made.store.read(({ nodes }) => nodes.all());
  const id = node?.id ?? 0;
  if (contact !== undefined) {
    const at = new Date(now.getTime() - contact * 60_000).toISOString();
    await made.store.recordContacts({ nodes: new Map([[id, "192.0.2.9"]]), tokens: new Set(), at });
  }
  if (report !== undefined) {
    await made.store.write(({ nodes }) => nodes.recordReport(id, { ...whole, ...report }, now.toISOString()));
  }
  const answer = await made.must("list-nodes");
  toolOf("list-nodes").output.strict().parse(answer);
  expect(answer.revision).toBe(2);
  return (answer.nodes as Array<Record<string, unknown>>)[0] ?? {};
}

test("a node with another digest than the server at that revision is failing, with a next step", async () => {
  expect(await listed({ contact: 1, report: { digest: "f".repeat(64) } })).toMatchObject({
    status: "failing",
    applied_revision: 2,
    reason: "digest_differs",
    hint: expect.any(Array),
  });
  // The server cannot judge the digest of an earlier revision.
  expect(await listed({ contact: 1, report: { revision: 1, digest: "f".repeat(64) } })).toMatchObject({
    status: "behind",
    reason: null,
  });
});

test("a contact in the future, from before the clock was set back, does not count", async () => {
  expect(await listed({ contact: -60, report: {} })).toMatchObject({ status: "stale" });
  expect(await listed({ contact: -1, report: {} })).toMatchObject({ status: "current" });
});

test("a node is current if its report fits its own part, and behind once that part changes", async () => {
  const { must, store } = testStore();
  for (const domain of ["a.nl", "b.nl"]) await must("add-domain", { domain });
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  await must("add-node", { name: "pi" });
  const [node] = await store.read(({ nodes }) => nodes.all());
  const id = node?.id ?? 0;
  const at = new Date().toISOString();
  await store.recordContacts({ nodes: new Map([[id, "192.0.2.9"]]), tokens: new Set(), at });
  const status = async () => {
    const { nodes } = await must("list-nodes");
    return (nodes as Array<Record<string, unknown>>)[0]?.status;
  };
  const views = [
    { role: "mail", domains: "all" },
    { role: "mx", domains: "all" },
    { role: "mail", domains: ["a.nl"] },
    { role: "mx", domains: ["a.nl", "b.nl"] },
    { role: "mail", domains: ["b.nl"] },
  ] as const;
  for (const { role, domains } of views) {
    await must("set-node", { name: "pi", role, domains });
    expect(await status()).toBe("behind");
    const report = await appliedReport(store, viewOf(role, domains === "all" ? null : domains));
    await store.write(({ nodes }) => nodes.recordReport(id, report, at));
    expect(await status()).toBe("current");
    await must("set-node", { name: "pi", ip_address: "192.0.2.0/24" });
    expect(await status()).toBe("current");
    // The part changed and changed back while the node was away, so it has nothing new to report.
    await must("set-node", { name: "pi", role: role === "mx" ? "mail" : "mx" });
    expect(await status()).toBe("behind");
    await must("set-node", { name: "pi", role });
    expect(await status()).toBe("current");
  }
});

test("a node that has a Dovecot does not become an mx", async () => {
  const { must, run, store } = testStore();
  const at = new Date().toISOString();
  const report = async (dovecot?: string) => {
    const said = { ...(await appliedReport(store)), ...(dovecot && { dovecot }) };
    await store.write(({ nodes }) => nodes.recordReport(1, said, at));
  };
  await must("add-node", { name: "pi" });
  await report();
  for (const role of ["mx", "mail"])
    expect(await must("set-node", { name: "pi", role })).toMatchObject({ role });
  await report("2.4");
  const error = { code: "invalid_input", detail: [expect.stringMatching(/^pi is a mailbox node: /)] };
  expect(await run("set-node", { name: "pi", role: "mx", ip_address: "192.0.2.7" })).toMatchObject({ error });
  expect((await must("list-node-details")).nodes).toMatchObject([{ role: "mail", ip_address: null }]);
  expect(await must("set-node", { name: "pi", role: "mail" })).toMatchObject({ role: "mail" });
});

test("each node in a list is judged by its own part, also if parts overlap or a domain is gone", async () => {
  const { must, store } = testStore();
  for (const domain of ["a.nl", "b.nl", "c.nl"]) await must("add-domain", { domain });
  for (const email of ["jan@a.nl", "piet@b.nl"]) await must("add-user", { email, password: PASSWORD });
  const parts = [
    { name: "a", role: "mail", domains: ["a.nl"] },
    { name: "a-too", role: "mail", domains: ["a.nl"] },
    { name: "ab", role: "mail", domains: ["a.nl", "b.nl"] },
    { name: "ab-mx", role: "mx", domains: ["a.nl", "b.nl"] },
    { name: "all", role: "mail", domains: null },
    { name: "all-mx", role: "mx", domains: null },
    { name: "bc", role: "mail", domains: ["b.nl", "c.nl"] },
  ] as const;
  for (const { name, role, domains } of parts) {
    await must("add-node", { name });
    await must("set-node", { name, role, domains: domains ?? "all" });
  }
  await must("remove-domain", { domain: "c.nl" });
  const at = new Date().toISOString();
  const nodes = await store.read((tables) => tables.nodes.all());
  await store.recordContacts({
    nodes: new Map(nodes.map(({ id }) => [id, "192.0.2.9"])),
    tokens: new Set(),
    at,
  });
  const statuses = async () =>
    Object.fromEntries(
      ((await must("list-nodes")).nodes as Array<Record<string, string>>).map(({ name, status }) => [
        name,
        status,
      ]),
    );
  for (const { id, view } of nodes) {
    const report = await appliedReport(store, view);
    await store.write((tables) => tables.nodes.recordReport(id, report, at));
  }
  expect(await statuses()).toEqual(Object.fromEntries(parts.map(({ name }) => [name, "current"])));
  // Each node reports its neighbour's state.
  for (const [index, { id }] of nodes.entries()) {
    const { view } = nodes[(index + 1) % nodes.length] ?? {};
    const report = await appliedReport(store, view);
    await store.write((tables) => tables.nodes.recordReport(id, report, at));
  }
  const failing = Object.fromEntries(parts.map(({ name }) => [name, "failing"]));
  expect(await statuses()).toEqual({ ...failing, a: "current" });
});

test("the shell's list of nodes shows each node's part, its program, and how far behind it is and since when", async () => {
  let now = new Date("2026-03-01T12:00:00Z");
  const { must, store } = testStore({ now: () => now });
  await must("add-domain", { domain: "a.nl" });
  for (const name of ["never", "pi"]) await must("add-node", { name });
  await must("set-node", { name: "pi", domains: ["a.nl"], role: "mx" });
  const pi = (await store.read(({ nodes }) => nodes.all())).find(({ name }) => name === "pi");
  const said = await appliedReport(store, viewOf("mx", ["a.nl"]));
  await store.write(({ nodes }) => nodes.recordReport(pi?.id ?? 0, said, now.toISOString()));
  const seen = { nodes: new Map([[pi?.id ?? 0, "192.0.2.9"]]), tokens: new Set<number>() };
  await store.recordContacts({ ...seen, at: now.toISOString() });
  const listedPi = async () => {
    const answer = await must("list-node-details");
    toolOf("list-node-details").output.strict().parse(answer);
    return answer.nodes as Array<Record<string, unknown>>;
  };
  expect(await listedPi()).toMatchObject([
    { name: "never", role: "mail", domains: null, status: "never", behind_by: null, version: null },
    { name: "pi", role: "mx", domains: ["a.nl"], status: "current", behind_by: 0, behind_since: null },
  ]);
  now = new Date("2026-03-01T12:01:00Z");
  await must("add-user", { email: "jan@a.nl", password: PASSWORD });
  now = new Date("2026-03-01T12:02:00Z");
  await must("add-user", { email: "piet@a.nl", password: PASSWORD });
  expect((await listedPi())[1]).toMatchObject({
    status: "behind",
    version: "1.2.3",
    applied_revision: 1,
    behind_by: 2,
    behind_since: "2026-03-01T12:01:00.000Z",
  });
});

const failed: Partial<Report> = { revision: 1, status: "failed", reason: "disk_full" };

test.each<[string, Seen, Record<string, unknown>]>([
  ["never", {}, { last_sync_at: null, applied_revision: null, reason: null }],
  ["behind", { contact: 0 }, { last_sync_at: "2026-03-01T12:00:00.000Z", applied_revision: null }],
  ["behind", { contact: 1, report: { revision: 1 } }, { applied_revision: 1 }],
  ["current", { contact: 1, report: {} }, { applied_revision: 2, reason: null }],
  ["current", { contact: 5, report: {} }, {}],
  ["stale", { contact: 5.1, report: {} }, { applied_revision: 2 }],
  ["stale", { contact: 60 }, {}],
  ["stale", { contact: 6, report: failed }, {}],
  ["failing", { contact: 1, report: failed }, { applied_revision: 1, reason: "disk_full" }],
  [
    "failing",
    { contact: 1, report: { status: "refused", reason: "wrong_digest" } },
    { reason: "wrong_digest" },
  ],
  ["behind", { contact: 1, report: { revision: 0, history: "", digest: "" } }, { applied_revision: null }],
  ["behind", { contact: 1, report: { revision: 9, history: "f".repeat(32) } }, { applied_revision: null }],
])("a node is %s when its last contact and report are %j", async (status, seen, more) => {
  expect(await listed(seen)).toMatchObject({ name: "pi", status, ...more });
});

test("removing a node shows its limits and how to set them again before it joins again", async () => {
  const { must } = testStore();
  for (const domain of ["a.nl", "b.nl"]) await must("add-domain", { domain });
  const limits = { role: "mx", domains: ["a.nl", "b.nl"], ip_address: "192.0.2.0/24" };
  await must("add-node", { name: "mx2" });
  await must("set-node", { name: "mx2", ...limits });
  const removed = await must("remove-node", { name: "mx2" });
  toolOf("remove-node").output.strict().parse(removed);
  expect(removed).toEqual({
    name: "mx2",
    ...limits,
    set_again: "m25-mail node set mx2 --role mx --domains a.nl,b.nl --ip 192.0.2.0/24",
  });
  await must("add-node", { name: "mx2" });
  const unlimited = { name: "mx2", role: "mail", domains: null, ip_address: null };
  expect(await must("remove-node", { name: "mx2" })).toEqual({ ...unlimited, set_again: null });
});

const withheld: Partial<Report> = { status: "withheld", reason: "removals_withheld", count: 7 };

test.each<[string, Seen, string[] | null]>([
  ["never called", {}, ["m25-mail node rotate-key pi"]],
  ["has called and said nothing yet", { contact: 0 }, ["m25-mail-node status"]],
  ["has been silent", { contact: 6 }, ["m25-mail-node status"]],
  ["is behind", { contact: 0, report: { revision: 1 } }, null],
  ["serves what it should", { contact: 0, report: {} }, null],
  ["failed", { contact: 1, report: failed }, ["m25-mail-node status"]],
  [
    "withholds removals",
    { contact: 1, report: withheld },
    [
      "m25-mail node accept pi",
      "m25-mail-node accept",
      "m25-mail user restore EMAIL",
      "m25-mail restore FILE",
      "m25-mail node set pi --domains LIST",
    ],
  ],
  [
    "hears two histories",
    { contact: 1, report: { status: "refused", reason: "returned_history" } },
    ["m25-mail backup FILE", "m25-mail restore FILE"],
  ],
])("the hint for a node that %s names the commands that help, if any", async (_, seen, commands) => {
  const { hint } = await listed(seen);
  expect(hint && commandsIn(hint)).toEqual(commands);
});

test("nodes are listed by name, without removed ones", async () => {
  const { must, run } = testStore();
  for (const name of ["b", "a", "c"]) await must("add-node", { name });
  await must("remove-node", { name: "c" });
  const { nodes } = await must("list-nodes");
  expect((nodes as Array<{ name: string }>).map(({ name }) => name)).toEqual(["a", "b"]);
  expectRefusal(await run("remove-node", { name: "c" }), "node_not_found", ["list-nodes"]);
});
