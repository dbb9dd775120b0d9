import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { fakeHash, PASSWORD, testStore, toolOf } from "../support/store.ts";

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
    note: expect.any(Array),
  });
});

test("a mailbox in an unregistered domain is refused, and the hint asks about a typo before registering the domain", async () => {
  const { run } = testStore();
  expectRefusal(await run("add-user", { email: "jan@exmaple.nl", password: PASSWORD }), "domain_not_found", [
    "list-domains",
    "add-domain",
  ]);
});

test("adding a soft-deleted mailbox restores it with the new password and its old quota, and says so", async () => {
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

test("adding an active mailbox again does not overwrite it", async () => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expectRefusal(
    await run("add-user", { email: "jan@example.nl", password: "another password", quota_mb: 5000 }),
    "user_exists",
    ["update-password"],
  );
  expect(await must("list-users")).toMatchObject({ users: [{ quota_mb: 1024 }] });
});

test("a restored mailbox gets a given quota, and its old password stops working", async () => {
  const { must, file } = testStore();
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD, quota_mb: 50 });
  await must("remove-user", { email: "jan@example.nl" });
  const again = { email: "jan@example.nl", password: "another password", quota_mb: 7 };
  expect(await must("add-user", again)).toMatchObject({ quota_mb: 7, reactivated: true });
  const hashes = rawDatabase(file).prepare("SELECT password_hash FROM users").pluck().all();
  expect(hashes).toEqual([fakeHash("another password")]);
});

test("the result of adding a mailbox matches the tool's output schema", async () => {
  const { must } = testStore();
  await must("add-domain", { domain: "example.nl" });
  const added = await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  toolOf("add-user").output.strict().parse(added);
  expect(JSON.stringify(added)).not.toMatch(/BLF|correct/);
});

test.each([0, -1, 1_000_000_000, 1_048_577, 1.5, "5", "", null, true, [5]])(
  "a quota of %j is refused, and no mailbox is created",
  async (quota_mb) => {
    const { must, run } = testStore();
    await must("add-domain", { domain: "example.nl" });
    const outcome = await run("add-user", { email: "jan@example.nl", password: PASSWORD, quota_mb });
    expect(expectRefusal(outcome, "invalid_input")).toContain("quota_mb");
    expect(await must("list-users")).toMatchObject({ total: 0 });
  },
);

test.each([
  ["no password", { email: "jan@example.nl" }, "password"],
  ["no address", { password: PASSWORD }, "email"],
  ["an invalid address", { email: "jan", password: PASSWORD }, "email: An address has an @."],
  ["a password of 7 characters", { email: "jan@example.nl", password: "1234567" }, "password: "],
  ["a password of 73 bytes", { email: "jan@example.nl", password: "a".repeat(73) }, "password: "],
  ["a password that is a number", { email: "jan@example.nl", password: 12345678 }, "password: "],
  ["a hash in place of a password", { email: "jan@example.nl", password_hash: PASSWORD }, "does not have"],
  ["an extra field", { email: "jan@example.nl", password: PASSWORD, active: false }, "does not have"],
])("%s is refused, and the message names the field", async (_what, input, named) => {
  const { must, run } = testStore();
  await must("add-domain", { domain: "example.nl" });
  expect(expectRefusal(await run("add-user", input), "invalid_input")).toContain(named);
  expect(await must("list-users")).toMatchObject({ total: 0 });
});

test("one refusal lists everything that is wrong", async () => {
  const { run } = testStore();
  const outcome = await run("add-user", { email: "jan", password: "short", quota_mb: 0 });
  expect(expectRefusal(outcome, "invalid_input")).toMatch(/email: .*password: .*quota_mb: /);
});

test("a refusal never repeats a value, which may be a password in the wrong field", async () => {
  const { run } = testStore();
  const secret = "canary-Hunter22!";
  for (const input of [
    { email: secret, password: PASSWORD },
    { email: `${secret}@example.nl`, password: PASSWORD },
    { email: "jan@example.nl", password: PASSWORD, quota_mb: secret },
    { email: "jan@example.nl", password: PASSWORD, [secret]: 1 },
    { email: "jan@example.nl", passwort: secret },
    secret,
    [secret],
  ]) {
    expect(JSON.stringify(await run("add-user", input))).not.toContain(secret);
  }
});
