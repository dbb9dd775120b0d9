import { expect, test } from "vitest";
import { rawDatabase } from "../support/recount.ts";
import { PASSWORD, testStore } from "../support/store.ts";

function removals(file: string): unknown[] {
  return rawDatabase(file).prepare("SELECT kind, name, revision FROM removals ORDER BY kind, name").all();
}

const jan = { email: "jan@example.nl" };

test("a removal is remembered with its revision until the address is served again", async () => {
  const { must, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD });
  expect(removals(file)).toEqual([]);

  await must("remove-user", jan);
  expect(removals(file)).toEqual([{ kind: "user", name: jan.email, revision: 3 }]);

  await must("add-user", { ...jan, password: PASSWORD });
  expect(removals(file)).toEqual([]);

  await must("remove-user", { ...jan, hard_delete: true });
  await must("remove-domain", { domain: "example.nl" });
  expect(removals(file)).toEqual([
    { kind: "domain", name: "example.nl", revision: 6 },
    { kind: "user", name: jan.email, revision: 5 },
  ]);

  await must("add-domain", { domain: "example.nl" });
  expect(removals(file)).toEqual([{ kind: "user", name: jan.email, revision: 5 }]);
});

test("removals that no delta needs any more are deleted in batches", async () => {
  const { must, store, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-domain", { domain: "example.org" });
  const insert = rawDatabase(file).prepare("INSERT INTO removals VALUES ('user', ?, ?, '')");
  for (let number = 0; number < 2500; number += 1) insert.run(`user${number}@example.nl`, 1);
  insert.run("needed@example.nl", 2);
  const left: number[] = [];
  const forget = () => store.write(({ state }) => state.forgetBefore("9999"));
  for (let goesOn = true; goesOn; left.push(removals(file).length)) goesOn = await forget();
  expect(left).toEqual([1501, 501, 1]);
  expect(removals(file)).toEqual([{ kind: "user", name: "needed@example.nl", revision: 2 }]);
});

test("a mailbox keeps its id through a soft delete, and an address gets a new id after a hard delete", async () => {
  const { must, file } = testStore();
  const database = rawDatabase(file);
  const mailbox = () => database.prepare("SELECT mailbox FROM users").pluck().get();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD });
  const first = mailbox();
  expect(first).toMatch(/^[0-9a-f]{16}$/);

  await must("remove-user", jan);
  await must("add-user", { ...jan, password: PASSWORD });
  expect(mailbox()).toBe(first);

  await must("remove-user", { ...jan, hard_delete: true });
  await must("add-user", { ...jan, password: PASSWORD });
  const second = mailbox();
  expect(second).not.toBe(first);

  await must("remove-user", jan);
  await must("remove-domain", { domain: "example.nl" });
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD });
  expect([first, second]).not.toContain(mailbox());
});
