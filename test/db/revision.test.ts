import { expect, test } from "vitest";
import { wholeView } from "../../src/sync/view.ts";
import { PASSWORD, type TestStore, testStore } from "../support/store.ts";

/** example.nl with the active jan and the inactive piet, and a node. */
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
  ["a quota changes", "set-quota", { ...jan, quota_mb: 7 }],
])("the revision rises by one when %s, and the poll's answer changes", async (_what, endpoint, input) => {
  const { must, store } = await populated();
  const before = store.polls.now().state(wholeView);
  await must(endpoint, input);
  const after = store.polls.now().state(wholeView);
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
  ["a quota is set to what it was", "set-quota", { ...jan, quota_mb: 1024 }],
  ["a node is added", "add-node", { name: "new-node" }],
  ["a node is removed", "remove-node", { name: "old-node" }],
  ["a token is created", "create-token", { name: "new-token" }],
  ["a token is revoked", "revoke-token", { name: "old-token" }],
  ["a list is read", "list-users", {}],
  ["a call is refused: the domain exists", "add-domain", { domain: "example.nl" }],
  ["a call is refused: the domain has users", "remove-domain", { domain: "example.nl" }],
  ["a call is refused: the mailbox exists", "add-user", { ...jan, password: PASSWORD }],
  ["a call is refused: the mailbox is inactive", "update-password", { ...piet, password: PASSWORD }],
  ["a call is refused: the mailbox does not exist", "remove-user", kees],
])("the revision stays when %s", async (_what, endpoint, input) => {
  const { run, store } = await populated();
  const before = store.polls.now().state(wholeView);
  await run(endpoint, input);
  expect(store.polls.now().state(wholeView)).toEqual(before);
});

test("contact and reports of nodes, and uses of tokens, leave the revision alone", async () => {
  const { store } = await populated();
  const before = store.polls.now().state(wholeView);
  const at = "2026-03-01T12:00:00.000Z";
  await store.write(async ({ nodes, tokens }) => {
    const [node] = await nodes.all();
    const [token] = await tokens.all();
    await nodes.recordContacts(new Set([node?.id ?? 0]), at);
    await tokens.recordUses(new Set([token?.id ?? 0]), at);
  });
  expect(store.polls.now().state(wholeView)).toEqual(before);
});

test("every database has a history of its own", () => {
  expect(testStore().store.polls.now().state(wholeView).history).not.toBe(
    testStore().store.polls.now().state(wholeView).history,
  );
});
