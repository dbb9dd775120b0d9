import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { openTestStore } from "../support/engine.ts";
import { openMaps } from "../support/open-maps.ts";
import { rawDatabase } from "../support/recount.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../support/store.ts";

afterEach(() => void vi.useRealTimers());

const DAY = 86_400_000;
const noon = new Date("2026-03-31T12:00:00Z");
const daysAgo = (days: number) => new Date(noon.getTime() - days * DAY);

/** A database with mailboxes that were soft-deleted 31 and 29 days ago, and an old active one. */
async function withInactive(): Promise<string> {
  const database = join(temporaryFolder(), "m25-mail.db");
  const store = openTestStore(database);
  let now = daysAgo(100);
  const { must } = testRuntime(store, { now: () => now });
  await must("add-domain", { domain: "example.nl" });
  for (const name of ["active", "long-gone", "just-gone"]) {
    await must("add-user", { email: `${name}@example.nl`, password: PASSWORD });
  }
  now = daysAgo(31);
  await must("remove-user", { email: "long-gone@example.nl" });
  now = daysAgo(29);
  await must("remove-user", { email: "just-gone@example.nl" });
  await store.close();
  return database;
}

const emails = (body: Record<string, unknown>) =>
  (body.users as Array<{ email: string }>).map(({ email }) => email);

test("mailboxes that were soft-deleted longer ago than the setting are purged, and recorded as the server's", async () => {
  const db = await withInactive();
  const server = await startServer({ db, "purge-inactive-after": "30" }, { now: () => noon });
  const left = async () => emails((await server.api("list-users")).body);
  await expect.poll(left).toEqual(["active@example.nl", "just-gone@example.nl"]);
  const entry = rawDatabase(db)
    .prepare("SELECT principal, door, tool, arguments FROM audit_log ORDER BY id DESC LIMIT 1")
    .get();
  expect(entry).toEqual({
    principal: "retention",
    door: "serve",
    tool: "purge-user",
    arguments: '{"email":"long-gone@example.nl"}',
  });
});

test("the server checks again each hour", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  let now = noon;
  const server = await startServer(
    { db: await withInactive(), "purge-inactive-after": "30" },
    { now: () => now },
  );
  const left = async () => emails((await server.api("list-users")).body);
  await expect.poll(left).toHaveLength(2);
  now = new Date(noon.getTime() + DAY + 1);
  vi.advanceTimersByTime(3_600_000);
  await expect.poll(left).toEqual(["active@example.nl"]);
});

/** Starts a server that should purge and forget. Returns what it did once its clock was far ahead. */
async function farAhead(start: Date) {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const db = await withInactive();
  let now = start;
  const settings = { db, "purge-inactive-after": "30", "audit-retention": "90" };
  const server = await startServer(settings, { now: () => now });
  const entries = () => rawDatabase(db).prepare("SELECT at FROM audit_log ORDER BY id").pluck().all();
  return {
    entries,
    lookAgain(at: Date) {
      now = at;
      vi.advanceTimersByTime(3_600_000);
    },
    doubts: () => server.log.filter((line) => line.includes("clock")),
    left: async () => emails((await server.api("list-users")).body),
  };
}

test("a server that starts with a clock far ahead removes nothing, and says once what to do", async () => {
  const { entries, left, doubts, lookAgain } = await farAhead(daysAgo(-5000));
  expect(doubts()).toEqual([expect.stringMatching(/2026-03-02T.* restart/)]);
  expect(await left()).toHaveLength(3);
  lookAgain(daysAgo(-5001));
  lookAgain(daysAgo(-5002));
  expect(await left()).toHaveLength(3);
  expect(entries()[0]).toBe(daysAgo(100).toISOString());
  expect(doubts()).toHaveLength(1);
});

test("a call of a node or a client proves the time too, even if nothing was changed for long", async () => {
  for (const who of ["nodes", "tokens"] as const) {
    const db = await withInactive();
    await (await startServer({ db }, { now: () => daysAgo(29) })).close(); // it makes the first token
    const store = openTestStore(db, { create: false });
    await testRuntime(store, { now: () => daysAgo(29) }).must("add-node", { name: "pi" });
    const seen = who === "nodes" ? { nodes: new Map([[1, "192.0.2.1"]]) } : { tokens: new Set([1]) };
    const nobody = { nodes: new Map<number, string>(), tokens: new Set<number>() };
    await store.recordContacts({ ...nobody, ...seen, at: daysAgo(-10).toISOString() });
    await store.close();
    const server = await startServer({ db, "purge-inactive-after": "30" }, { now: () => daysAgo(-35) });
    const left = async () => emails((await server.api("list-users")).body);
    await expect.poll(left).toEqual(["active@example.nl"]);
  }
});

test("a clock that jumps far ahead while the server runs removes nothing either", async () => {
  const { entries, left, doubts, lookAgain } = await farAhead(noon);
  await expect.poll(left).toHaveLength(2);
  const kept = entries();
  expect(kept[0]).toBe(daysAgo(31).toISOString());
  lookAgain(daysAgo(-5000));
  await expect.poll(doubts).toHaveLength(1);
  expect(await left()).toHaveLength(2);
  expect(entries()).toEqual(kept);
});

test("without the setting nothing is purged", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const server = await startServer(
    { db: await withInactive() },
    { now: () => new Date(noon.getTime() + 5000 * DAY) },
  );
  vi.advanceTimersByTime(3_600_000);
  expect(emails((await server.api("list-users")).body)).toHaveLength(3);
});

test("half a minute after a change the server keeps no earlier maps with removed hashes", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const server = await startServer();
  const { must } = testRuntime(server.store);
  await must("add-domain", { domain: "example.nl" });
  await must("add-user", { email: "jan@example.nl", password: PASSWORD });
  const { sync_key } = await must("add-node", { name: "pi" });
  const authorization = `Bearer ${sync_key}`;
  const answer = await fetch(`${server.url}/sync/v1/maps`, { headers: { authorization } });
  expect(await answer.text()).toContain("jan@example.nl");
  expect(openMaps()).toHaveLength(2);
  vi.advanceTimersByTime(30_000);
  expect(openMaps()).toHaveLength(2);
  await must("remove-user", { email: "jan@example.nl", hard_delete: true });
  vi.advanceTimersByTime(30_000);
  await expect.poll(openMaps).toEqual([]);
});
