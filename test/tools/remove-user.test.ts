import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { PASSWORD, type TestStore, testStore, toolOf } from "../support/store.ts";

const jan = { email: "jan@example.nl" };

async function withJan(): Promise<TestStore> {
  const made = testStore();
  await made.must("add-domain", { domain: "example.nl" });
  await made.must("add-user", { ...jan, password: PASSWORD });
  return made;
}

test("by default a mailbox becomes inactive and stays in the list", async () => {
  const { must } = await withJan();
  const removed = await must("remove-user", { email: "JAN@example.nl" });
  expect(removed).toEqual({
    ...jan,
    deleted: "soft",
    already_inactive: false,
    revision: 3,
  });
  toolOf("remove-user").output.strict().parse(removed);
  expect(await must("list-users")).toMatchObject({ users: [{ ...jan, active: false }], total: 1 });
});

test("removing an inactive mailbox again changes nothing and says so", async () => {
  const { must } = await withJan();
  await must("remove-user", jan);
  const before = await must("list-users");
  expect(await must("remove-user", jan)).toEqual({
    ...jan,
    deleted: "soft",
    already_inactive: true,
    revision: 3,
  });
  expect(await must("list-users")).toEqual(before);
});

test("a hard delete removes an active or inactive mailbox from the list", async () => {
  const { must } = await withJan();
  expect(await must("remove-user", { ...jan, hard_delete: true })).toEqual({
    ...jan,
    deleted: "hard",
    already_inactive: false,
    revision: 3,
  });
  await must("add-user", { ...jan, password: PASSWORD });
  await must("remove-user", jan);
  expect(await must("remove-user", { ...jan, hard_delete: true })).toMatchObject({
    deleted: "hard",
    already_inactive: true,
  });
  expect(await must("list-users")).toMatchObject({ total: 0 });
});

test("an unknown mailbox is refused, and the hint says where to look", async () => {
  const { run } = await withJan();
  const piet = await run("remove-user", { email: "piet@example.nl" });
  expect(expectRefusal(piet, "user_not_found", ["list-users"])).not.toContain("registered");
  const typo = await run("remove-user", { email: "jan@exmaple.nl" });
  expect(expectRefusal(typo, "user_not_found", ["list-domains"])).toContain(
    "the domain exmaple.nl is not registered",
  );
});

test.each(["true", 1, null, "yes"])("hard_delete %j is refused and removes nothing", async (hard_delete) => {
  const { run, must } = await withJan();
  expectRefusal(await run("remove-user", { ...jan, hard_delete }), "invalid_input");
  expect(await must("list-users")).toMatchObject({ users: [{ active: true }] });
});
