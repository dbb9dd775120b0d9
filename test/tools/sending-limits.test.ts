import { expect, test } from "vitest";
import { viewOf } from "../../src/sync/view.ts";
import { expectRefusal } from "../support/outcome.ts";
import { kept, rawDatabase, recount, servedState, textOf } from "../support/recount.ts";
import { PASSWORD, type TestStore, testStore, toolOf } from "../support/store.ts";

const jan = { email: "jan@example.nl" };
const domain = { domain: "example.nl" };

async function withJan(): Promise<TestStore> {
  const made = testStore();
  await made.must("add-domain", domain);
  await made.must("add-domain", { domain: "example.org" });
  await made.must("add-user", { ...jan, password: PASSWORD });
  return made;
}

async function shown({ must }: TestStore): Promise<unknown[]> {
  const { recipients_per_hour, recipients_per_day, first_time_recipients_per_day } = await must(
    "show-user",
    jan,
  );
  return [recipients_per_hour, recipients_per_day, first_time_recipients_per_day];
}

test("a mailbox has its own limits, else its domain's, else each node's", async () => {
  const made = await withJan();
  const { must } = made;
  expect(await shown(made)).toEqual(["default", "default", "default"]);
  const ofDomain = await must("set-domain-limits", {
    ...domain,
    recipients_per_hour: 50,
    recipients_per_day: 0,
  });
  expect(ofDomain).toMatchObject({ ...domain, recipients_per_hour: 50, recipients_per_day: 0 });
  toolOf("set-domain-limits").output.strict().parse(ofDomain);
  expect(await shown(made)).toEqual([50, 0, "default"]);
  const own = await must("set-user-limits", {
    ...jan,
    recipients_per_hour: 500,
    first_time_recipients_per_day: 9,
  });
  expect(own).toMatchObject({ ...jan, recipients_per_hour: 500, recipients_per_day: "default" });
  toolOf("set-user-limits").output.strict().parse(own);
  expect(await shown(made)).toEqual([500, 0, 9]);
  await must("set-user-limits", { ...jan, recipients_per_hour: "default" });
  await must("set-domain-limits", { ...domain, recipients_per_day: "default" });
  expect(await shown(made)).toEqual([50, "default", 9]);
});

test("without a number nothing changes, and the same number is no change", async () => {
  const { must } = await withJan();
  const { revision } = await must("set-user-limits", { ...jan, recipients_per_day: 5 });
  for (const given of [{}, { recipients_per_day: 5 }, { recipients_per_hour: "default" }]) {
    expect(await must("set-user-limits", { ...jan, ...given })).toMatchObject({
      recipients_per_day: 5,
      revision,
    });
    expect(await must("set-domain-limits", { ...domain })).toMatchObject({
      recipients_per_day: "default",
      revision,
    });
  }
});

test("the limits reach mailbox nodes, and no MX-only node", async () => {
  const { must, store, file } = await withJan();
  await must("set-domain-limits", { ...domain, recipients_per_hour: 50 });
  await must("set-user-limits", { ...jan, recipients_per_day: 7 });
  const { domains, users } = await servedState(store);
  expect([...domains.values()]).toEqual([
    { domain: "example.nl", sending_limit: { hour: 50 } },
    { domain: "example.org" },
  ]);
  expect([...users.values()]).toMatchObject([{ user: jan.email, sending_limit: { day: 7 } }]);
  for (const of of [null, ["example.nl"]]) {
    expect(await textOf(await store.readState(viewOf("mail", of)))).toContain('"sending_limit":{"day":7}');
    expect(await textOf(await store.readState(viewOf("mx", of)))).not.toContain("sending_limit");
    expect(await textOf(await store.readState(viewOf("mx", of), 3))).not.toContain("sending_limit");
    expect(await textOf(await store.readState(viewOf("mail", of), 3))).toContain(
      '{"domain":"example.nl","sending_limit":{"hour":50}}',
    );
  }
  const database = rawDatabase(file);
  expect(kept(database)).toEqual(recount(database));
});

test("a mailbox keeps its limits with another address and after a soft delete, and a domain's end with it", async () => {
  const made = await withJan();
  const { must, file } = made;
  await must("set-user-limits", { ...jan, recipients_per_hour: 1 });
  await must("remove-user", jan);
  await must("restore-user", jan);
  await must("rename-user", { ...jan, new_email: "jan@example.org" });
  await must("rename-user", { email: "jan@example.org", new_email: jan.email });
  expect(await shown(made)).toEqual([1, "default", "default"]);
  await must("set-domain-limits", { domain: "example.org", recipients_per_hour: 1 });
  await must("remove-domain", { domain: "example.org" });
  await must("add-domain", { domain: "example.org" });
  expect(await must("set-domain-limits", { domain: "example.org" })).toMatchObject({
    recipients_per_hour: "default",
  });
  const database = rawDatabase(file);
  expect(kept(database)).toEqual(recount(database));
});

test("a wrong number, and an inactive or unknown mailbox, are refused", async () => {
  const { must, run } = await withJan();
  for (const recipients_per_hour of [-1, 1.5, 1_000_001, "none"])
    expectRefusal(await run("set-user-limits", { ...jan, recipients_per_hour }), "invalid_input");
  expectRefusal(
    await run("set-user-limits", { email: "els@example.nl", recipients_per_day: 1 }),
    "user_not_found",
  );
  expectRefusal(
    await run("set-domain-limits", { domain: "no.nl", recipients_per_day: 1 }),
    "domain_not_found",
  );
  await must("remove-user", jan);
  expectRefusal(await run("set-user-limits", { ...jan, recipients_per_day: 1 }), "user_inactive", [
    "add-user",
  ]);
});
