import bcrypt from "bcrypt";
import { expect, test } from "vitest";
import { MailError } from "../../../src/mail/error.ts";
import { isStoredHash } from "../../../src/mail/stored-hash.ts";
import { PasswordHasher, passwordMatches } from "../../../tools/call/password-hash.ts";
import { PASSWORD, testStore } from "../../support/store.ts";

test("a hash is readable for Dovecot, has the configured cost and differs each time", async () => {
  const hasher = new PasswordHasher(10);
  const [one, two] = await Promise.all([hasher.hash(PASSWORD), hasher.hash(PASSWORD)]);
  expect(one).toSatisfy(isStoredHash);
  expect(one).toMatch(/^\{BLF-CRYPT\}\$2b\$10\$/);
  expect(two).not.toBe(one);
  expect(await bcrypt.compare(PASSWORD, one.slice("{BLF-CRYPT}".length))).toBe(true);
  expect(await new PasswordHasher(11).hash(PASSWORD)).toContain("$2b$11$");
});

test("passwords are hashed in order of arrival", async () => {
  const hasher = new PasswordHasher(4);
  const order: number[] = [];
  let finished = 0;
  const all = Array.from({ length: 12 }, (_, index) =>
    hasher.hash(PASSWORD).then(() => {
      finished += 1;
      order.push(index);
    }),
  );
  await Promise.all(all);
  expect(finished).toBe(12);
  // Two run side by side, so neighbours may change places.
  order.forEach((index, place) => void expect(Math.abs(index - place)).toBeLessThanOrEqual(1));
});

test("a principal has at most 64 waiting passwords, and the next is told to retry while others are served", async () => {
  const hasher = new PasswordHasher(4);
  const outcomes = await Promise.allSettled(Array.from({ length: 80 }, () => hasher.hash(PASSWORD)));
  const refused = outcomes.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
  expect(refused.length).toBeGreaterThanOrEqual(80 - 66);
  expect(refused.length).toBeLessThanOrEqual(80 - 65);
  for (const { reason } of refused) {
    expect(reason).toBeInstanceOf(MailError);
    expect(reason).toMatchObject({ code: "busy" });
  }
  expect(await hasher.hash(PASSWORD)).toSatisfy(isStoredHash);
});

test("one principal's waiting passwords neither refuse another's nor make it wait for all of them", async () => {
  const hasher = new PasswordHasher(4);
  const order: string[] = [];
  const hash = (principal: string) => hasher.hash(PASSWORD, principal).then(() => order.push(principal));
  const greedy = Array.from({ length: 60 }, () => hash("greedy"));
  const modest = Array.from({ length: 5 }, () => hash("modest"));
  await Promise.all([...greedy, ...modest]);
  expect(order.slice(0, 15).filter((principal) => principal === "modest")).toHaveLength(5);
});

test("a hash that fails lets the next one start", async () => {
  const hasher = new PasswordHasher(4);
  const bad = Array.from({ length: 4 }, () => hasher.hash(undefined as unknown as string));
  const good = Array.from({ length: 4 }, () => hasher.hash(PASSWORD));
  for (const { status } of await Promise.allSettled(bad)) expect(status).toBe("rejected");
  expect(await Promise.all(good)).toHaveLength(4);
});

test("a comparison without a stored hash takes as long as a wrong password", async () => {
  const hash = await new PasswordHasher(10).hash(PASSWORD);
  const quickest = async (compared: string | undefined) => {
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const began = performance.now();
      expect(await passwordMatches("a wrong password", compared, 10)).toBe(false);
      times.push(performance.now() - began);
    }
    return Math.min(...times);
  };
  // bench/login-timing.ts measures how alike they are. A comparison that is left out takes next to no time.
  expect(await quickest(undefined)).toBeGreaterThan((await quickest(hash)) / 10);
});

test("lists are answered while passwords are hashed", async () => {
  const { must, run, runtime } = testStore();
  const hasher = new PasswordHasher(10);
  runtime.hashPassword = (password) => hasher.hash(password);
  await must("add-domain", { domain: "example.nl" });
  let added = 0;
  const adding = Array.from({ length: 8 }, (_, index) =>
    run("add-user", { email: `u${index}@example.nl`, password: PASSWORD }).then(() => {
      added += 1;
    }),
  );
  for (let index = 0; index < 20; index += 1) await must("list-domains");
  expect(added).toBeLessThan(8);
  await Promise.all(adding);
  expect(await must("list-users")).toMatchObject({ total: 8 });
});

test("passwords are hashed outside the transaction, so that other changes do not wait", async () => {
  const { must, run, runtime } = testStore();
  await must("add-domain", { domain: "example.nl" });
  let release = (_hash: string) => {};
  runtime.hashPassword = () => new Promise((resolve) => (release = resolve));
  const adding = run("add-user", { email: "jan@example.nl", password: PASSWORD });
  await must("add-domain", { domain: "meanwhile.nl" });
  release(`{BLF-CRYPT}$2b$10$${".".repeat(53)}`);
  expect(await adding).toMatchObject({ ok: true, value: { revision: 3 } });
});
