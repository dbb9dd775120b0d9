import { expect, test } from "vitest";
import { appliedReport } from "../support/applied-report.ts";
import { PASSWORD, stateOf, type TestStore, testStore } from "../support/store.ts";

/** Returns a store with example.nl, the active jan, the inactive piet and a node. */
async function populated(): Promise<TestStore> {
  const made = testStore();
  await made.must("add-domain", { domain: "example.nl" });
  await made.must("add-domain", { domain: "empty.nl" });
  await made.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await made.must("add-user", { email: "piet@example.nl", password: PASSWORD });
  await made.must("remove-user", { email: "piet@example.nl" });
  await made.must("add-node", { name: "old-node" });
  await made.must("create-token", { name: "old-token" });
  return made;
}

const jan = { email: "jan@example.nl" };
const piet = { email: "piet@example.nl" };
const kees = { email: "kees@example.nl" };

test.each([
  ["a domain is added", "add-domain", { domain: "other.nl" }],
  ["a domain is removed", "remove-domain", { domain: "empty.nl" }],
  ["a mailbox is created", "add-user", { ...kees, password: PASSWORD }],
  ["a mailbox is re-activated", "add-user", { ...piet, password: PASSWORD }],
  ["a mailbox is restored", "restore-user", piet],
  ["a mailbox is soft-deleted", "remove-user", jan],
  ["a mailbox is hard-deleted", "remove-user", { ...jan, hard_delete: true }],
  ["a password changes", "update-password", { ...jan, password: "another password" }],
  ["a quota changes", "set-user", { ...jan, quota_mb: 7 }],
  ["a mailbox is renamed", "rename-user", { ...jan, new_email: "kees@empty.nl" }],
])("the revision rises by one when %s, and the poll's answer changes", async (_what, endpoint, input) => {
  const { must, store } = await populated();
  const before = await stateOf(store);
  await must(endpoint, input);
  const after = await stateOf(store);
  expect(after.revision).toBe(before.revision + 1);
  expect(after.digest).not.toBe(before.digest);
});

test.each([
  ["an inactive mailbox is soft-deleted again", "remove-user", piet],
  [
    "an inactive mailbox, which no node serves, is hard-deleted",
    "remove-user",
    { ...piet, hard_delete: true },
  ],
  ["a quota is set to what it was", "set-user", { ...jan, quota_mb: 1024 }],
  ["a node is added", "add-node", { name: "new-node" }],
  ["a node is removed", "remove-node", { name: "old-node" }],
  ["a token is created", "create-token", { name: "new-token" }],
  ["a token is revoked", "revoke-token", { name: "old-token" }],
  ["a list is read", "list-users", {}],
  ["a call is refused: the domain exists", "add-domain", { domain: "example.nl" }],
  ["a call is refused: the domain has users", "remove-domain", { domain: "example.nl" }],
  ["a call is refused: the mailbox exists", "add-user", { ...jan, password: PASSWORD }],
  ["a call is refused: the mailbox is inactive", "update-password", { ...piet, password: PASSWORD }],
  ["a call is refused: the new address is taken", "rename-user", { ...jan, new_email: piet.email }],
  ["a call is refused: the mailbox does not exist", "remove-user", kees],
])("the revision stays the same when %s", async (_what, endpoint, input) => {
  const { run, store } = await populated();
  const before = await stateOf(store);
  await run(endpoint, input);
  expect(await stateOf(store)).toEqual(before);
});

test("contacts and reports of nodes, and uses of tokens, do not change the revision", async () => {
  const { store } = await populated();
  const before = await stateOf(store);
  const at = "2026-03-01T12:00:00.000Z";
  const { nodes, tokens } = await store.read(async (tables) => ({
    nodes: await tables.nodes.all(),
    tokens: await tables.tokens.all(),
  }));
  await store.recordContacts({
    nodes: new Map(nodes.map(({ id }) => [id, "192.0.2.9"])),
    tokens: new Set(tokens.map(({ id }) => id)),
    at,
  });
  expect(await stateOf(store)).toEqual(before);
  expect((await store.read((tables) => tables.tokens.all())).map(({ lastUsedAt }) => lastUsedAt)).toEqual([
    at,
  ]);
});

test("the version of the nodes' settings rises with them, not with calls or reports", async () => {
  const { store, must } = await populated();
  const version = async () => (await store.polls.look()).version;
  const [node] = await store.read(({ nodes }) => nodes.all());
  const id = node?.id ?? 0;
  const before = await version();
  const at = "2026-03-01T12:00:00.000Z";
  await store.recordContacts({
    nodes: new Map([
      [id, "192.0.2.9"],
      [12_345, "192.0.2.9"],
    ]),
    tokens: new Set(),
    at,
  });
  const report = await appliedReport(store);
  await store.write(({ nodes }) => nodes.recordReport(id, report, at));
  expect(await version()).toBe(before);
  const seen = new Set([before]);
  const changes: Array<[endpoint: string, input: object]> = [
    ["add-node", { name: "another" }],
    ["set-node", { name: "another", role: "mx" }],
    ["set-node", { name: "another", ip_address: "192.0.2.0/24" }],
    ["rotate-key", { name: "another" }],
    ["accept-removals", { name: "another" }],
    ["remove-node", { name: "another" }],
  ];
  for (const [endpoint, input] of changes) {
    await must(endpoint, input);
    seen.add(await version());
  }
  expect(seen.size).toBe(1 + changes.length);
});

test("every database has a history id of its own", async () => {
  const one = await stateOf(testStore().store);
  expect((await stateOf(testStore().store)).history).not.toBe(one.history);
});
