import { expect, test } from "vitest";
import { PASSWORD, testStore } from "../support/store.ts";

test("a mailbox is created in a registered domain, with the default quota", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  await must("add-domain", { domain: "example.nl" });
  expect(await must("add-user", { email: "Jan@Example.nl", password: PASSWORD })).toEqual({
    email: "jan@example.nl",
    quota_mb: 1024,
    active: true,
    reactivated: false,
    created_at: "2026-03-01T12:00:00.000Z",
    revision: 2,
  });
});

test("a mailbox in a domain that is not registered is refused, and the hint names the tool that registers it", async () => {
  const { run } = testStore();
  const outcome = await run("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect(outcome).toMatchObject({ ok: false, error: { code: "domain_not_found" } });
  expect(outcome.ok ? "" : outcome.error.hint).toContain("m25_mail_add_domain");
});

test("adding a soft-deleted mailbox again brings it back with the new password and its own quota, and says so", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD, quota_mb: 50 });
  await must("remove-user", { email: "jan@example.nl" });
  expect(await must("add-user", { email: "jan@example.nl", password: "another password" })).toMatchObject({
    quota_mb: 50,
    active: true,
    reactivated: true,
  });
});

test("an active mailbox is not overwritten by adding it again", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect(await run("add-user", { email: "jan@example.nl", password: "another password" })).toMatchObject({
    ok: false,
    error: { code: "user_exists" },
  });
});
