import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { PASSWORD, testStore, toolOf } from "../support/store.ts";

test("a domain without mailboxes is removed", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const removed = await must("remove-domain", { domain: "EXAMPLE.nl" });
  expect(removed).toEqual({
    domain: "example.nl",
    removed_inactive_users: 0,
    revision: 2,
  });
  toolOf("remove-domain").output.strict().parse(removed);
  expect(await must("list-domains")).toMatchObject({ domains: [], total: 0 });
});

test("a domain with active mailboxes stays, and the hint names the tools that empty it", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const one = await run("remove-domain", { domain: "example.nl" });
  expect(expectRefusal(one, "domain_has_active_users", ["list-users", "remove-user"])).toContain(
    "1 active mailbox.",
  );
  await must("add-user", { email: "piet@example.nl", password: PASSWORD });
  const two = await run("remove-domain", { domain: "example.nl" });
  expect(expectRefusal(two, "domain_has_active_users")).toContain("2 active mailboxes.");
  expect(await must("list-users")).toMatchObject({ total: 2 });
});

test("inactive mailboxes are removed with their domain and do not return with it", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-domain", { domain: "other.nl" });
  for (const email of ["jan@example.nl", "piet@example.nl", "jan@other.nl"]) {
    await must("add-user", { email, password: PASSWORD });
    await must("remove-user", { email });
  }
  expect(await must("remove-domain", { domain: "example.nl" })).toMatchObject({ removed_inactive_users: 2 });
  expect(await must("list-users")).toMatchObject({ total: 1, users: [{ email: "jan@other.nl" }] });
  await must("add-domain", { domain: "example.nl" });
  expect(await must("add-user", { email: "jan@example.nl", password: PASSWORD })).toMatchObject({
    reactivated: false,
  });
});

test("an unregistered domain is refused, and the hint says where to look", async () => {
  const { run } = testStore();
  expectRefusal(await run("remove-domain", { domain: "example.nl" }), "domain_not_found", ["list-domains"]);
});
