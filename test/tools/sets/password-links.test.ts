import { expect, test } from "vitest";
import { NO_LOGIN } from "../../../src/mail/stored-hash.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { rawDatabase } from "../../support/recount.ts";
import { PASSWORD, testStore, toolOf } from "../../support/store.ts";

const jan = { email: "jan@example.nl" };
const first = { ...jan, kind: "first" };

async function withLinks() {
  const now = new Date("2026-03-01T12:00:00Z");
  const test = testStore({ now: () => now });
  test.runtime.settings = { publicUrl: "https://mail.example.nl/admin/" };
  await test.must("add-domain", { domain: "example.nl" });
  const links = () => rawDatabase(test.file).prepare("SELECT count(*) FROM password_links").pluck().get();
  const tokenOf = ({ url }: Record<string, unknown>) => String(url).slice(String(url).lastIndexOf("/") + 1);
  const find = (token: string) =>
    test.store.read(({ passwordLinks }) => passwordLinks.find(token.split("_")[1] ?? ""));
  return { ...test, now, links, tokenOf, find };
}

test("an invited person gets a link that ends a day later, and has no password until then", async () => {
  const { must, file } = await withLinks();
  const invited = await must("invite-user", { ...jan, quota_mb: 7 });
  toolOf("invite-user").output.strict().parse(invited);
  expect(invited).toMatchObject({ ...jan, quota_mb: 7, active: true, reactivated: false });
  expect(invited.url).toMatch(
    /^https:\/\/mail\.example\.nl\/admin\/password\/m25pwl_[0-9a-f]{16}_[0-9a-f]{64}$/,
  );
  expect(invited.expires_at).toBe("2026-03-02T12:00:00.000Z");
  expect(rawDatabase(file).prepare("SELECT password_hash FROM users").pluck().get()).toBe(NO_LOGIN);
  expect(await must("set-user", jan)).toMatchObject({ login: "no_password" });
});

test("a link's token stands nowhere in the database, not even in the audit log", async () => {
  const { must, file, tokenOf } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  const again = tokenOf(await must("create-password-link", first));
  const { entries } = await must("read-audit");
  const stored = JSON.stringify([entries, rawDatabase(file).prepare("SELECT * FROM password_links").all()]);
  for (const secret of [token, again]) expect(stored).not.toContain(secret.split("_")[2]);
  expect(stored).toContain('"kind":"first"');
});

test("only the newest link of a mailbox works", async () => {
  const { must, tokenOf, find } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  const newer = tokenOf(await must("create-password-link", first));
  expect(await find(token)).toBeUndefined();
  expect(await find(newer)).toMatchObject({ ...jan, kind: "first" });
});

test.each([
  ["a new password", ["update-password", { ...jan, password: PASSWORD }]],
  ["a login that is turned off", ["set-user", { ...jan, login: "off" }]],
  ["a removal", ["remove-user", jan]],
  ["a removal for good", ["remove-user", { ...jan, hard_delete: true }]],
  ["an invitation after a removal", ["invite-user", jan]],
] as const)("%s ends a link", async (_what, [endpoint, input]) => {
  const { must, run, links, tokenOf, find } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  if (endpoint === "invite-user") await must("remove-user", jan);
  await must(endpoint, input);
  expect(await find(token)).toBeUndefined();
  expect(links()).toBe(endpoint === "invite-user" ? 1 : 0);
  const chosen = await run("choose-password", { ...jan, token, password: PASSWORD });
  expectRefusal(chosen, "link_not_found");
});

test("a changed quota does not end a link", async () => {
  const { must, tokenOf, find } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  await must("set-user", { ...jan, quota_mb: 9 });
  expect(await find(token)).toBeDefined();
});

test("the chosen password works once the link was used, and the link a second time does not", async () => {
  const { must, run, tokenOf } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  expect(await must("choose-password", { ...jan, token, password: PASSWORD })).toEqual(jan);
  expect(await must("set-user", jan)).toMatchObject({ login: "on" });
  const again = await run("choose-password", { ...jan, token, password: PASSWORD });
  expectRefusal(again, "link_not_found");
});

test("a link is for its own mailbox and ends after a day", async () => {
  const { must, run, tokenOf, now, links, store } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  await must("invite-user", { email: "piet@example.nl" });
  const chosen = (email: string) => run("choose-password", { email, token, password: PASSWORD });
  expectRefusal(await chosen("piet@example.nl"), "link_not_found");
  now.setUTCDate(2);
  expectRefusal(await chosen("jan@example.nl"), "link_not_found");
  await store.write(({ passwordLinks }) => passwordLinks.forget(now));
  expect(links()).toBe(0);
});

test("links that have ended are deleted in batches", async () => {
  const { must, store, file, now, links } = await withLinks();
  await must("invite-user", jan);
  const database = rawDatabase(file);
  database.exec(`
    WITH RECURSIVE numbers (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1500)
    INSERT INTO users (id, domain_id, local_part, mailbox, password_hash, quota_mb, active, revision, created_at, updated_at)
      SELECT n, domain_id, n, mailbox || n, password_hash, quota_mb, active, revision, created_at, updated_at
      FROM users, numbers WHERE users.id = 1;
    INSERT INTO password_links SELECT id, id, '', 'first', '2026-03-01' FROM users WHERE id > 1`);
  const forget = () => store.write(({ passwordLinks }) => passwordLinks.forget(now));
  expect([await forget(), links()]).toEqual([true, 500]);
  expect([await forget(), links()]).toEqual([false, 1]);
});

test("a wrong token and another link's id are no way in", async () => {
  const { must, run, tokenOf } = await withLinks();
  const token = tokenOf(await must("invite-user", jan));
  const wrong = [token.slice(0, -1) + (token.endsWith("0") ? "1" : "0"), "", "x", token.toUpperCase()];
  for (const one of wrong) {
    const chosen = await run("choose-password", { ...jan, token: one, password: PASSWORD });
    expectRefusal(chosen, "link_not_found");
  }
});

test("no link is made while the server's address is unknown, and nothing else is changed then", async () => {
  const { must, run, runtime } = await withLinks();
  runtime.settings = {};
  expectRefusal(await run("invite-user", jan), "no_public_url");
  expect(await must("list-users")).toMatchObject({ total: 0 });
  await must("add-user", { ...jan, password: PASSWORD });
  expectRefusal(await run("create-password-link", first), "no_public_url");
});

test("no link is made for a login that is turned off, nor for a mailbox that is not there", async () => {
  const { must, run } = await withLinks();
  await must("add-user", { ...jan, password: PASSWORD });
  await must("set-user", { ...jan, login: "off" });
  expectRefusal(await run("create-password-link", first), "login_off", ["set-user"]);
  expectRefusal(await run("create-password-link", { ...first, email: "piet@example.nl" }), "user_not_found", [
    "list-users",
  ]);
  await must("remove-user", jan);
  expectRefusal(await run("create-password-link", first), "user_inactive", ["add-user"]);
});

test("an active mailbox cannot be invited", async () => {
  const { must, run } = await withLinks();
  await must("add-user", { ...jan, password: PASSWORD });
  expectRefusal(await run("invite-user", jan), "user_exists", ["create-password-link", "set-user"]);
});
