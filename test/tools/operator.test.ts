import { expect, test } from "vitest";
import { expectRefusal } from "../support/outcome.ts";
import { rawDatabase } from "../support/recount.ts";
import { fakeHash, PASSWORD, type TestStore, testStore, toolOf } from "../support/store.ts";

const jan = { email: "jan@example.nl" };

async function withJan(now = () => new Date()): Promise<TestStore> {
  const made = testStore({ now });
  await made.must("add-domain", { domain: "example.nl" });
  await made.must("add-user", { ...jan, password: PASSWORD });
  return made;
}

test("a mailbox is shown with its home, its login and the aliases that lead to it, also when it is soft-deleted", async () => {
  const { must, run, file } = await withJan(() => new Date("2026-03-01T12:00:00Z"));
  for (const [address, target] of [
    ["info@example.nl", "jan@example.nl"],
    ["@example.nl", "info@example.nl"],
    ["jan@example.nl", "info@else.example"],
  ])
    await must("set-alias", { address, targets: [target] });
  const id = String(rawDatabase(file).prepare("SELECT mailbox FROM users").pluck().get());
  const shown = await must("show-user", jan);
  expect(shown).toEqual({
    ...jan,
    state: "active",
    login: "on",
    quota_mb: 1024,
    used_mb: null,
    used_percent: null,
    messages: null,
    last_login: null,
    unused_since: null,
    reported_on: null,
    recipients_per_hour: "default",
    recipients_per_day: "default",
    first_time_recipients_per_day: "default",
    limited_on: null,
    id,
    home: `/var/vmail/${id.slice(0, 2)}/${id}`,
    aliases: ["@example.nl", "info@example.nl"],
    roles: [],
    created_at: "2026-03-01T12:00:00.000Z",
    updated_at: "2026-03-01T12:00:00.000Z",
  });
  toolOf("show-user").output.strict().parse(shown);
  await must("set-user", { ...jan, login: "off" });
  expect(await must("show-user", jan)).toMatchObject({ state: "active", login: "off" });
  await must("remove-user", jan);
  expect(await must("show-user", jan)).toMatchObject({
    state: "soft-deleted",
    id,
    aliases: ["@example.nl", "info@example.nl"],
  });
  await must("remove-user", { ...jan, hard_delete: true });
  expectRefusal(await run("show-user", jan), "user_not_found");
});

test("a quota is changed, unless it is already the same", async () => {
  const { must } = await withJan();
  const changed = await must("set-user", { ...jan, quota_mb: 5 });
  expect(changed).toEqual({ ...jan, quota_mb: 5, login: "on", revision: 3, note: expect.any(Array) });
  toolOf("set-user").output.strict().parse(changed);
  expect(await must("set-user", { ...jan, quota_mb: 5 })).toMatchObject({ revision: 3 });
  expect(await must("list-users")).toMatchObject({ users: [{ quota_mb: 5 }] });
});

test("a quota of zero, and a quota for an inactive or unknown mailbox, are refused", async () => {
  const { must, run } = await withJan();
  expectRefusal(await run("set-user", { ...jan, quota_mb: 0 }), "invalid_input");
  expectRefusal(await run("set-user", { email: "piet@example.nl", quota_mb: 5 }), "user_not_found");
  await must("remove-user", jan);
  expectRefusal(await run("set-user", { ...jan, quota_mb: 5 }), "user_inactive", ["add-user"]);
});

test("a restored mailbox has its old password", async () => {
  const { must, run, file } = await withJan();
  expectRefusal(await run("restore-user", jan), "user_active");
  await must("remove-user", jan);
  const restored = await must("restore-user", jan);
  expect(restored).toEqual({ ...jan, active: true, revision: 4, note: expect.any(Array) });
  toolOf("restore-user").output.strict().parse(restored);
  expect(rawDatabase(file).prepare("SELECT password_hash FROM users").pluck().get()).toBe(fakeHash(PASSWORD));
  await must("remove-user", { ...jan, hard_delete: true });
  expectRefusal(await run("restore-user", jan), "user_not_found");
});

test("a renamed mailbox keeps its folder, password, quota and age, in another domain too", async () => {
  const { must, file } = await withJan();
  await must("add-domain", { domain: "example.org" });
  await must("set-user", { ...jan, quota_mb: 5 });
  const row = () =>
    rawDatabase(file).prepare("SELECT mailbox, password_hash, quota_mb, created_at FROM users").get();
  const before = row();
  const renamed = await must("rename-user", { ...jan, new_email: "J.Smit@Example.org" });
  expect(renamed).toEqual({
    email: "j.smit@example.org",
    former_email: jan.email,
    aliases: [],
    kept_alias: false,
    revision: 5,
    note: expect.any(Array),
  });
  toolOf("rename-user").output.strict().parse(renamed);
  expect(row()).toEqual(before);
  expect(await must("list-users")).toMatchObject({ users: [{ email: "j.smit@example.org", quota_mb: 5 }] });
  expect(await must("list-domains")).toMatchObject({
    domains: [
      { domain: "example.nl", user_count: 0 },
      { domain: "example.org", user_count: 1 },
    ],
  });
  const again = await must("add-user", { ...jan, password: PASSWORD });
  expect(again).toMatchObject({ ...jan, reactivated: false });
});

test("a mailbox gets no address that exists, was soft-deleted or has no domain here", async () => {
  const { must, run } = await withJan();
  const rename = (new_email: string, email = jan.email) => run("rename-user", { email, new_email });
  await must("add-user", { email: "piet@example.nl", password: PASSWORD });
  expectRefusal(await rename(jan.email), "user_exists");
  expectRefusal(await rename("piet@example.nl"), "user_exists");
  await must("remove-user", { email: "piet@example.nl" });
  expect(expectRefusal(await rename("piet@example.nl"), "user_exists")).toContain("soft-deleted");
  expectRefusal(await rename("jan@example.org"), "domain_not_found", ["list-domains"]);
  expectRefusal(await rename("kees@example.nl", "piet@example.nl"), "user_inactive");
  expectRefusal(await rename("kees@example.nl", "nobody@example.nl"), "user_not_found");
  expect(await must("list-users")).toMatchObject({ users: [jan, { email: "piet@example.nl" }] });
});

test("soft-deleted mailboxes are listed with the ids of their folders", async () => {
  const { must, file } = await withJan();
  expect(await must("list-inactive")).toEqual({ mailboxes: [] });
  await must("add-user", { email: "piet@example.nl", password: PASSWORD });
  await must("remove-user", jan);
  const listed = await must("list-inactive");
  const mailbox = rawDatabase(file).prepare("SELECT mailbox FROM users WHERE active = 0").pluck().get();
  expect(listed).toEqual({ mailboxes: [{ ...jan, mailbox, updated_at: expect.any(String) }] });
  toolOf("list-inactive").output.strict().parse(listed);
});

test("a soft-deleted mailbox can be purged for good, an active one never", async () => {
  const { must, run, file } = await withJan();
  expectRefusal(await run("purge-user", jan), "user_active", ["remove-user"]);
  await must("remove-user", jan);
  const purged = await must("purge-user", jan);
  expect(purged).toEqual(jan);
  toolOf("purge-user").output.strict().parse(purged);
  expect(rawDatabase(file).prepare("SELECT count(*) FROM users").pluck().get()).toBe(0);
  expectRefusal(await run("restore-user", jan), "user_not_found");
  expect(await must("list-domains")).toMatchObject({ domains: [{ inactive_user_count: 0 }] });
});

test("an access token is shown once, has every scope by default, and the list does not contain it", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const created = await must("create-token", { name: "claude" });
  expect(created).toEqual({
    name: "claude",
    token: expect.stringMatching(/^m25tok_[0-9a-f]{16}_[0-9a-f]{64}$/),
    expires_at: null,
  });
  expect(
    await must("create-token", { name: "cursor", scopes: ["read", "read"], expires: "90d" }),
  ).toMatchObject({
    expires_at: "2026-05-30T12:00:00.000Z",
  });
  const listed = await must("list-tokens");
  toolOf("list-tokens").output.strict().parse(listed);
  expect(listed.tokens).toMatchObject([
    { name: "claude", scopes: ["read", "write", "destroy", "nodes"], expires_at: null, last_used_at: null },
    { name: "cursor", scopes: ["read"] },
  ]);
  expect(JSON.stringify(listed)).not.toContain("m25tok");
});

test("a token for some domains may do everything in them by default, and never sees nodes", async () => {
  const { must } = testStore({ now: () => new Date("2026-03-01T12:00:00Z") });
  const input = { name: "claude", domains: ["Z.nl", "a.nl", "z.nl"], expires: "2026-03-01" };
  expect(await must("create-token", input)).toMatchObject({ expires_at: "2026-03-01T23:59:59.999Z" });
  expect((await must("list-tokens")).tokens).toMatchObject([
    { scopes: ["read", "write", "destroy"], domains: ["a.nl", "z.nl"] },
  ]);
});

test("a token's name is unique, and free again once the token is revoked", async () => {
  const { must, run } = testStore();
  await must("create-token", { name: "claude" });
  expectRefusal(await run("create-token", { name: "claude" }), "token_exists");
  await must("revoke-token", { name: "claude" });
  expectRefusal(await run("revoke-token", { name: "claude" }), "token_not_found");
  await must("create-token", { name: "claude" });
});

test.each([
  { name: "" },
  { name: "-claude" },
  { name: "my token" },
  { name: "claude", scopes: [] },
  { name: "claude", scopes: ["admin"] },
  { name: "claude", scopes: "read" },
  { name: "claude", expires: "0d" },
  { name: "claude", expires: "1.5d" },
  { name: "operator" },
  { name: "Retention" },
  { name: "claude", expires: "100000d" },
  { name: "claude", expires: 90 },
  { name: "claude", expires: "90" },
  { name: "claude", expires: "" },
  { name: "claude", expires: "2020-01-31" },
  { name: "claude", expires: "2999-02-30" },
  { name: "claude", domains: [] },
  { name: "claude", domains: ["no domain"] },
  { name: "claude", domains: ["example.nl"], scopes: ["read", "nodes"] },
])("the token %j is refused", async (input) => {
  const { run, must } = testStore();
  expectRefusal(await run("create-token", input), "invalid_input");
  expect(await must("list-tokens")).toEqual({ tokens: [] });
});
