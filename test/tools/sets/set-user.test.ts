import { expect, test } from "vitest";
import { NO_LOGIN } from "../../../src/mail/stored-hash.ts";
import type { UserRecord } from "../../../src/sync/records.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { rawDatabase, servedState } from "../../support/recount.ts";
import { fakeHash, PASSWORD, type TestStore, testStore, toolOf } from "../../support/store.ts";

const jan = { email: "jan@example.nl" };
const OTHER = "another long password";

async function withJan(): Promise<TestStore & { served(): Promise<string>; states(): Promise<unknown[]> }> {
  const test = testStore();
  await test.must("add-domain", { domain: "example.nl" });
  await test.must("add-user", { ...jan, password: PASSWORD, quota_mb: 5 });
  const served = async () => ((await servedState(test.store)).users.get(jan.email) as UserRecord).password;
  /** As list-users, show-user and set-user tell it. */
  const states = async () => {
    const { users } = (await test.must("list-users")) as { users: Array<{ login: string }> };
    return [...users, await test.must("show-user", jan), await test.must("set-user", jan)].map(
      ({ login }) => login,
    );
  };
  return { ...test, served, states };
}

test("login off keeps the mailbox on the nodes, with a hash that no password has", async () => {
  const { must, served } = await withJan();
  const off = await must("set-user", { ...jan, login: "off" });
  toolOf("set-user").output.strict().parse(off);
  expect(off).toMatchObject({ ...jan, quota_mb: 5, login: "off", revision: 3 });
  expect(await served()).toBe(NO_LOGIN);
});

test("login on again serves the password that was there before", async () => {
  const { must, served, file } = await withJan();
  await must("set-user", { ...jan, login: "off" });
  expect(await must("set-user", { ...jan, login: "on" })).toMatchObject({ login: "on", revision: 4 });
  expect(await served()).toBe(fakeHash(PASSWORD));
  expect(rawDatabase(file).prepare("SELECT held_hash FROM users").pluck().get()).toBe(null);
});

test("a new password does not turn a login on, and is the one that works afterwards", async () => {
  const { must, served } = await withJan();
  await must("set-user", { ...jan, login: "off" });
  const { note } = await must("update-password", { ...jan, password: OTHER });
  expect(note).toContain(
    " is turned off and stays off: nobody can log in with this password until the login is on. ",
  );
  expect(await served()).toBe(NO_LOGIN);
  await must("set-user", { ...jan, login: "on" });
  expect(await served()).toBe(fakeHash(OTHER));
});

test("a mailbox that was removed and created again has its login on, with its new password", async () => {
  const { must, served } = await withJan();
  await must("set-user", { ...jan, login: "off" });
  await must("remove-user", jan);
  await must("add-user", { ...jan, password: OTHER });
  expect(await served()).toBe(fakeHash(OTHER));
  expect(await must("set-user", jan)).toMatchObject({ login: "on" });
  await must("update-password", { ...jan, password: PASSWORD });
  expect(await served()).toBe(fakeHash(PASSWORD));
});

test("quota and login change in one call, and a repetition changes nothing", async () => {
  const { must } = await withJan();
  const change = { ...jan, quota_mb: 9, login: "off" };
  expect(await must("set-user", change)).toMatchObject({ ...change, revision: 3 });
  expect(await must("set-user", change)).toMatchObject({ ...change, revision: 3 });
  // A call that changes nothing has no note about nodes.
  expect(await must("set-user", jan)).toEqual({ ...change, revision: 3 });
});

test("a mailbox that never had a password is refused its login until it has one", async () => {
  const { must, run, file, states } = await withJan();
  rawDatabase(file).prepare("UPDATE users SET password_hash = ?").run(NO_LOGIN);
  expectRefusal(await run("set-user", { ...jan, login: "on" }), "no_password", ["create-password-link"]);
  expect(await states()).toEqual(["no_password", "no_password", "no_password"]);
  await must("update-password", { ...jan, password: OTHER });
  expect(await must("set-user", jan)).toMatchObject({ login: "on" });
});

test("a login that was turned off is told apart from a password that nobody has chosen", async () => {
  const { must, states } = await withJan();
  expect(await states()).toEqual(["on", "on", "on"]);
  await must("set-user", { ...jan, login: "off" });
  expect(await states()).toEqual(["off", "off", "off"]);
});

test("an inactive and an unknown mailbox are refused, and a login is either on or off", async () => {
  const { must, run } = await withJan();
  expectRefusal(await run("set-user", { email: "piet@example.nl" }), "user_not_found", ["list-users"]);
  expectRefusal(await run("set-user", { ...jan, login: "maybe" }), "invalid_input");
  await must("remove-user", jan);
  expectRefusal(await run("set-user", { ...jan, login: "on" }), "user_inactive", ["add-user"]);
});
