import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { fakeHash, PASSWORD, testStore, toolOf } from "../support/store.ts";

const jan = { email: "jan@example.nl" };

test("a new password changes nothing else of the mailbox", async () => {
  const now = new Date("2026-03-01T12:00:00Z");
  const { must, file } = testStore({ now: () => now });
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD, quota_mb: 5 });
  const row = () => rawDatabase(file).prepare("SELECT * FROM users").get() as Record<string, unknown>;
  const before = row();
  now.setUTCHours(13);
  const updated = await must("update-password", { email: "Jan@example.nl", password: "another password" });
  expect(updated).toEqual({
    ...jan,
    updated_at: "2026-03-01T13:00:00.000Z",
    revision: 3,
    note: expect.any(Array),
  });
  toolOf("update-password").output.strict().parse(updated);
  expect(row()).toEqual({
    ...before,
    password_hash: fakeHash("another password"),
    updated_at: "2026-03-01T13:00:00.000Z",
    revision: 3,
  });
});

test("composed and decomposed letters make the same stored password", async () => {
  const { must, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: "Zoe\u0308 kookt" });
  expect(rawDatabase(file).prepare("SELECT password_hash FROM users").pluck().get()).toBe(
    fakeHash("Zo\u00eb kookt"),
  );
});

test("an inactive mailbox is refused and unchanged, and the hint says how to restore it", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { ...jan, password: PASSWORD });
  await must("remove-user", jan);
  const outcome = await run("update-password", { ...jan, password: "another password" });
  expectRefusal(outcome, "user_inactive", ["add-user"]);
});

test("an unknown mailbox is refused, but a bad password is refused first", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  expectRefusal(await run("update-password", { ...jan, password: PASSWORD }), "user_not_found", [
    "list-users",
  ]);
  expectRefusal(await run("update-password", { ...jan, password: "short" }), "invalid_input");
});
