import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp } from "../../../db/sqlite/backup.ts";
import { expectRefusal } from "../../support/outcome.ts";
import { proofFor } from "../../support/owner.ts";
import { m25mail } from "../../support/program.ts";
import { kept, rawDatabase, recount } from "../../support/recount.ts";
import { PASSWORD, temporaryFolder, testStore } from "../../support/store.ts";

const jan = { email: "jan@example.nl" };

interface Stored {
  name: string;
  selector: string;
  hash: string;
}

async function withJan() {
  const test = testStore();
  await test.must("add-domain", { domain: "example.nl" });
  await test.must("add-user", { ...jan, password: PASSWORD });
  const database = rawDatabase(test.file);
  const stored = (): Stored[] =>
    JSON.parse(String(database.prepare("SELECT app_passwords FROM users").pluck().get() ?? "[]"));
  const asJan = async (endpoint: string, input: object) =>
    test.run(endpoint, { ...jan, proof: await proofFor(test.store, jan.email), ...input });
  const make = async (name: string) => {
    const outcome = await asJan("make-app-password", { name });
    if (!outcome.ok) throw outcome.error;
    return String(outcome.value.app_password);
  };
  return { ...test, database, stored, asJan, make };
}

test("an app password has 28 random letters, and only a salted hash of it is kept", async () => {
  const { make, stored, must } = await withJan();
  const text = await make("Phone");
  expect(text).toMatch(/^([a-z]{4}-){6}[a-z]{4}$/);
  const [{ name, selector, hash } = { name: "", selector: "", hash: "" }] = stored();
  expect(name).toBe("Phone");
  expect(selector).toBe(createHash("sha256").update(text).digest("hex").slice(0, 16));
  const bytes = Buffer.from(hash.slice("{SSHA512}".length), "base64");
  const [digest, salt] = [bytes.subarray(0, 64), bytes.subarray(64)];
  expect(salt.length).toBe(8);
  expect(createHash("sha512").update(text).update(salt).digest()).toEqual(digest);
  const { entries } = await must("read-audit");
  const all = JSON.stringify(entries);
  expect(all).toContain('"name":"Phone"');
  for (const secret of [text, selector, hash]) expect(all).not.toContain(secret);
});

test.each([
  ["a new password that somebody else sets", ["update-password", { ...jan, password: `${PASSWORD}!` }]],
  ["a login that is turned off", ["set-user", { ...jan, login: "off" }]],
  ["a removal", ["remove-user", jan]],
] as const)("%s ends the app passwords", async (_what, [endpoint, input]) => {
  const { make, must, stored, database } = await withJan();
  await make("Phone");
  await must(endpoint, input);
  expect(stored()).toEqual([]);
  expect(kept(database)).toEqual(recount(database));
});

test("a password that is chosen by a link ends the app passwords", async () => {
  const { make, must, runtime, stored } = await withJan();
  runtime.settings = { publicUrl: "https://mail.example.nl" };
  await make("Phone");
  const { url } = await must("create-password-link", { ...jan, kind: "reset" });
  expect(stored().length).toBe(1);
  const token = String(url).split("/").at(-1);
  await must("choose-password", { ...jan, token, password: `${PASSWORD}!` });
  expect(stored()).toEqual([]);
});

test.each([
  ["the owner's own new password", "change-own-password", { password: `${PASSWORD}!` }],
  ["a new quota", "set-user", { quota_mb: 7 }],
  ["a new address", "rename-user", { new_email: "johan@example.nl" }],
])("%s keeps the app passwords", async (_what, endpoint, input) => {
  const { make, asJan, must, stored, database } = await withJan();
  await make("Phone");
  if (endpoint === "change-own-password") expect(await asJan(endpoint, input)).toMatchObject({ ok: true });
  else await must(endpoint, { ...jan, ...input });
  expect(stored()).toMatchObject([{ name: "Phone" }]);
  expect(kept(database)).toEqual(recount(database));
});

test.each([
  ["none", ""],
  ["white space", "   "],
  ["65 characters", "x".repeat(65)],
  ["a line feed", "two\nlines"],
  ["an invisible character", "Pho\u200bne"],
  ["half a character", "\ud800"],
  ["a name that another has", " Laptop "],
  ["no text", 7],
])("a name with %s is refused, and nothing is changed", async (_what, name) => {
  const { make, asJan, stored } = await withJan();
  await make("Laptop");
  const before = stored();
  expectRefusal(await asJan("make-app-password", { name }), "invalid_input");
  expect(stored()).toEqual(before);
});

test("a mailbox has 20 app passwords at most, and the 21st comes after one has ended", async () => {
  const { make, asJan, stored } = await withJan();
  for (let number = 1; number <= 20; number += 1) await make(`Device ${number}`);
  expectRefusal(await asJan("make-app-password", { name: "One more" }), "invalid_input");
  expect(await asJan("end-app-password", { name: "Device 3" })).toMatchObject({ value: { ended: true } });
  expect(await asJan("end-app-password", { name: "Device 3" })).toMatchObject({ value: { ended: false } });
  await make("One more");
  expect(stored().length).toBe(20);
  const selectors = stored().map(({ selector }) => selector);
  expect(selectors).toEqual(selectors.toSorted());
});

test.each([
  ["change-own-password", { password: `${PASSWORD}!` }],
  ["make-app-password", { name: "Tablet" }],
  ["end-app-password", { name: "Phone" }],
])("%s is refused for a sign-in before a new password, a removal or a successor", async (endpoint, input) => {
  const { make, must, run, store, stored } = await withJan();
  await make("Phone");
  const proof = await proofFor(store, jan.email);
  const attempt = () => run(endpoint, { ...jan, proof, ...input });
  await must("set-user", { ...jan, login: "off" });
  expectRefusal(await attempt(), "unauthorized");
  await must("set-user", { ...jan, login: "on" });
  await must("update-password", { ...jan, password: `${PASSWORD}?` });
  expectRefusal(await attempt(), "unauthorized");
  await must("remove-user", jan);
  expectRefusal(await attempt(), "unauthorized");
  // Same address and password, another person.
  await must("remove-user", { ...jan, hard_delete: true });
  await must("add-user", { ...jan, password: PASSWORD });
  expectRefusal(await attempt(), "unauthorized");
  expect(stored()).toEqual([]);
});

test("a restored backup brings its app passwords back", async () => {
  const { make, must, file, stored, database } = await withJan();
  await make("Phone");
  const before = stored();
  const copy = join(temporaryFolder(), "copy");
  await backUp(file, copy);
  await must("update-password", { ...jan, password: `${PASSWORD}!` });
  expect(await m25mail(["restore", copy, "--yes", "--db", file])).toMatchObject({ code: 0 });
  const present =
    "SELECT app_passwords FROM users JOIN domains ON domains.id = domain_id WHERE name = 'example.nl'";
  expect(JSON.parse(String(database.prepare(present).pluck().get()))).toEqual(before);
  expect(kept(database)).toEqual(recount(database));
});
