import { existsSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { wholeView } from "../../src/sync/view.ts";
import { rawDatabase } from "../support/recount.ts";
import { fakeHash, PASSWORD, type TestStore, testStore } from "../support/store.ts";

const SECRET = "the-former-password";
const jan = { email: "jan@example.nl" };

// A timer empties the write-ahead log. The tests move its clock.
beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

/** Returns whether the hash of SECRET is in the bytes of the database or its write-ahead log. */
function standsIn(file: string): boolean {
  return [file, `${file}-wal`].some(
    (path) => existsSync(path) && readFileSync(path).includes(fakeHash(SECRET).slice(20)),
  );
}

/** Jan among many others, so that his row is in the middle of a page. */
async function withJan(): Promise<TestStore> {
  const made = testStore();
  for (const domain of ["example.nl", "other.nl"]) await made.must("add-domain", { domain });
  const email = (index: number) => ({ email: `user${index}@other.nl`, password: PASSWORD });
  for (let index = 0; index < 40; index += 1) await made.must("add-user", email(index));
  await made.must("add-user", { ...jan, password: SECRET });
  for (let index = 40; index < 80; index += 1) await made.must("add-user", email(index));
  await vi.advanceTimersByTimeAsync(30_000);
  expect(standsIn(made.file)).toBe(true);
  return made;
}

test.each([
  ["a hard delete", [["remove-user", { ...jan, hard_delete: true }]]],
  [
    "a purge",
    [
      ["remove-user", jan],
      ["purge-user", jan],
    ],
  ],
  [
    "the removal of the domain",
    [
      ["remove-user", jan],
      ["remove-domain", { domain: "example.nl" }],
    ],
  ],
  ["a change of the password", [["update-password", { ...jan, password: PASSWORD }]]],
  [
    "a re-activation with another password",
    [
      ["remove-user", jan],
      ["add-user", { ...jan, password: PASSWORD }],
    ],
  ],
] as const)(
  "half a minute after %s, no byte of the hash is left in the database or its write-ahead log",
  async (_what, calls) => {
    const { must, file } = await withJan();
    for (const [endpoint, input] of calls) await must(endpoint, input);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(standsIn(file)).toBe(false);
  },
);

test("an open snapshot holds the write-ahead log, which is emptied a second after it ends", async () => {
  const { must, file, store } = await withJan();
  const reading = await store.readState(wholeView);
  await must("remove-user", { ...jan, hard_delete: true });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(standsIn(file)).toBe(true);
  await reading.close();
  await vi.advanceTimersByTimeAsync(1_000);
  expect(standsIn(file)).toBe(false);
});

test("lists are answered while a change and the emptying of the log wait for another program", async () => {
  const { must, file } = await withJan();
  await must("remove-user", { ...jan, hard_delete: true });
  const other = rawDatabase(file);
  other.exec("BEGIN IMMEDIATE");
  const adding = must("add-domain", { domain: "late.nl" });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(await must("list-domains")).toMatchObject({ total: 2 });
  other.exec("ROLLBACK");
  await vi.advanceTimersByTimeAsync(1_000);
  await adding;
  expect(await must("list-domains")).toMatchObject({ total: 3 });
});

test("calls continue while the log is emptied, and none is lost", async () => {
  const { must, bugs } = await withJan();
  const adding = Array.from({ length: 30 }, (_, index) =>
    must("add-user", { email: `late${index}@example.nl`, password: PASSWORD }),
  );
  const listing = Array.from({ length: 30 }, () => must("list-users", { limit: 1000 }));
  await vi.advanceTimersByTimeAsync(30_000);
  await Promise.all([...adding, ...listing]);
  expect(await must("list-domains")).toMatchObject({ domains: [{ user_count: 31 }, {}] });
  expect(bugs).toEqual([]);
});
