import { expect, test } from "vitest";
import type { Text } from "../../src/mail/text.ts";
import { newCredential } from "../../tools/call/credential.ts";
import { onPostgresql, openTestStore } from "../support/engine.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

const GRACE = 10;
const HOUR = 60;
const DAY = 24 * HOUR;

interface Listed {
  name: string;
  status: string;
  ended_key_used_at: string | null;
  hint: Text | null;
}

/** A server behind a proxy, and a node after a rotation: `first` has ended, `second` is in use. */
async function rotated() {
  let now = new Date("2026-03-01T12:00:00Z");
  const server = await startServer({ "trusted-proxies": "127.0.0.0/8" }, { now: () => now });
  const first = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const ask = (path: string, key: string, from = "192.0.2.1", method = "GET") =>
    fetch(`${server.url}/sync/v1/${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "x-forwarded-for": from },
    });
  const poll = async (key: string, from?: string) => (await ask("maps", key, from)).status;
  const fresh = async (key: string) =>
    String(((await (await ask("key", key, undefined, "POST")).json()) as { sync_key: string }).sync_key);
  const { must } = testRuntime(server.store, { now: () => now });
  const entries = async () =>
    (await server.store.read(({ audit }) => audit.page(1000, {}, undefined))).filter(
      ({ tool }) => tool === "use-ended-key",
    );
  const second = await fresh(first);
  expect(await poll(second)).toBe(200);
  return {
    ...server,
    first,
    second,
    poll,
    fresh,
    must,
    entries,
    rotate: async () => String((await must("rotate-key", { name: "pi" })).sync_key),
    later: (minutes: number) => (now = new Date(now.getTime() + minutes * 60_000)),
    listed: async () => ((await must("list-nodes")).nodes as Listed[])[0],
    alarms: () => server.log.filter((line) => line.includes("was used after it had ended")),
    /** Resolves once all earlier notes are written: writes are in order, and this is one. */
    written: () => server.store.write(async () => {}),
  };
}

const quiet = { ended_key_used_at: null };
const alarmed = (address: string, at: string) => ({
  ended_key_used_at: at,
  hint: expect.arrayContaining([address, { operator: "node rotate-key pi" }]),
});

test("the list of nodes, the log and the audit log report the use of an ended key as a sign of theft", async () => {
  const { first, poll, later, listed, alarms, entries, log, must } = await rotated();
  later(GRACE);
  expect(await poll(first, "203.0.113.7")).toBe(401);
  const at = "2026-03-01T12:10:00.000Z";
  await expect.poll(listed).toMatchObject({ status: "stale", ...alarmed("203.0.113.7", at) });
  const [details] = (await must("list-node-details")).nodes as object[];
  expect(details).toMatchObject({ ended_key_used_at: at, ended_key_used_from: "203.0.113.7" });
  expect(alarms()).toEqual([
    expect.stringMatching(
      /^sync: a key of a node .*somebody else may have it.*"node":"pi","address":"203\.0\.113\.7"/,
    ),
  ]);
  expect(await entries()).toMatchObject([
    { at, principal: "node pi", door: "sync", address: "203.0.113.7", outcome: "unauthorized" },
  ]);
  expect(JSON.stringify([log, await entries(), await listed()])).not.toContain(first.slice(0, 30));
});

test("an ended key may be used for ten more minutes, as by a node in the middle of a rotation", async () => {
  const { first, second, rotate, poll, later, listed, alarms, written } = await rotated();
  const refusedQuietly = async (key: string) => {
    expect(await poll(key)).toBe(401);
    await written();
    expect(await listed()).toMatchObject(quiet);
    expect(alarms()).toEqual([]);
  };
  await refusedQuietly(first);
  later(GRACE - 0.1);
  await refusedQuietly(first);
  expect(await poll(await rotate())).toBe(200); // an operator's key ends the one before it likewise
  await refusedQuietly(second);
  later(GRACE - 0.1);
  await refusedQuietly(second);
  later(0.1);
  expect(await poll(second)).toBe(401);
  expect(alarms().length).toBe(1);
});

test("the old key is no sign of theft while the new one was never used, even after its time", async () => {
  const { second, poll, fresh, later, listed, alarms, written } = await rotated();
  await fresh(second); // the answer is lost
  later(25 * HOUR);
  expect(await poll(second)).toBe(401);
  await written();
  expect(await listed()).toMatchObject(quiet);
  expect(alarms()).toEqual([]);
});

test("a key that was replaced before its first use has ended too", async () => {
  const { second, poll, fresh, rotate, later, listed } = await rotated();
  const thiefs = await fresh(second);
  await rotate();
  later(GRACE);
  expect(await poll(thiefs, "203.0.113.7")).toBe(401);
  await expect.poll(listed).toMatchObject(alarmed("203.0.113.7", "2026-03-01T12:10:00.000Z"));
});

test("the use of an ended key is logged once an hour, and is once in the audit log", async () => {
  const { first, poll, later, listed, alarms, entries } = await rotated();
  later(GRACE);
  for (let minute = 0; minute < HOUR; minute += 6) {
    await poll(first, `203.0.113.${minute}`);
    later(6);
  }
  expect(alarms().length).toBe(1);
  await poll(first, "203.0.113.200");
  expect(alarms().length).toBe(2);
  await expect.poll(listed).toMatchObject(alarmed("203.0.113.200", "2026-03-01T13:10:00.000Z"));
  expect((await entries()).length).toBe(1);
});

// PostgreSQL counts the commits of all databases.
test.skipIf(onPostgresql)(
  "unknown keys, wrong secrets and a repeat of an ended key are recorded nowhere",
  async () => {
    const { first, second, poll, later, listed, alarms, store, written, must } = await rotated();
    const tokens = async () => (await must("list-tokens")).tokens;
    const commit = async () => {
      await written();
      return (await store.polls.look()).commit;
    };
    later(GRACE);
    await poll(second);
    // The contact and the token's use are written later, one after the other.
    await expect.poll(listed).toMatchObject({ status: "behind" });
    await expect.poll(tokens).toMatchObject([{ last_used_at: expect.any(String) }]);
    const quietly = await commit();
    const ids = [first, second].map((key) => key.split("_")[1]);
    for (const id of [...ids, "0123456789abcdef"]) {
      expect(await poll(newCredential("syncKey").text.replace(/_[0-9a-f]+_/, `_${id}_`))).toBe(401);
    }
    expect(await commit()).toBe(quietly);
    expect(alarms()).toEqual([]);
    await poll(first);
    const loudly = await commit();
    expect(loudly).not.toBe(quietly);
    for (let time = 0; time < 3; time += 1) expect(await poll(first)).toBe(401);
    expect(await commit()).toBe(loudly);
  },
);

test("the first use of an operator's new key clears the notice, and no earlier key brings it back", async () => {
  const { first, second, poll, rotate, later, listed, alarms, written } = await rotated();
  later(GRACE);
  await poll(first, "203.0.113.7");
  await expect.poll(listed).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
  const operators = await rotate();
  expect(await listed()).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
  expect(await poll(operators)).toBe(200);
  expect(await listed()).toMatchObject(quiet);
  later(2 * HOUR);
  for (const key of [first, second]) expect(await poll(key, "203.0.113.7")).toBe(401);
  await written();
  expect(await listed()).toMatchObject(quiet);
  expect(alarms().length).toBe(1);
});

test("a key exchanged by the node keeps the notice, because the thief may have exchanged it", async () => {
  const { first, second, poll, fresh, later, listed } = await rotated();
  later(GRACE);
  await poll(first);
  await expect.poll(listed).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
  expect(await poll(await fresh(second))).toBe(200);
  expect(await listed()).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
});

test("a stolen key that an operator's rotation ended is reported when it is used later", async () => {
  const { second, poll, rotate, later, listed } = await rotated();
  expect(await poll(await rotate())).toBe(200);
  later(GRACE);
  await poll(second, "203.0.113.7");
  await expect.poll(listed).toMatchObject(alarmed("203.0.113.7", "2026-03-01T12:10:00.000Z"));
});

test("the list of nodes reports an ended key for 30 days after its last use", async () => {
  const { first, poll, later, listed } = await rotated();
  later(GRACE);
  await poll(first);
  await expect.poll(listed).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
  later(30 * DAY);
  expect(await listed()).toMatchObject({ ended_key_used_at: "2026-03-01T12:10:00.000Z" });
  later(1);
  expect(await listed()).toMatchObject(quiet);
});

test("a removed node's key is reported in the log only, even if a new node has the name", async () => {
  const { second, poll, later, must, listed, alarms, entries, written } = await rotated();
  await must("remove-node", { name: "pi" });
  await must("add-node", { name: "pi" });
  later(GRACE);
  expect(await poll(second, "203.0.113.7")).toBe(401);
  expect(alarms()).toEqual([
    expect.stringMatching(/a key of a removed node .*"node":"pi","address":"203\.0\.113\.7"/),
  ]);
  await written();
  expect(await listed()).toMatchObject(quiet);
  expect(await entries()).toEqual([]);
});

test("a server that stops still writes its latest contacts and uses of ended keys", async () => {
  const { first, poll, later, close, database } = await rotated();
  later(GRACE);
  await poll(first, "203.0.113.7");
  await close();
  const store = openTestStore(database, { create: false });
  const [node] = await store.read(({ nodes }) => nodes.all());
  expect(node?.endedKeyUse).toEqual({ at: "2026-03-01T12:10:00.000Z", address: "203.0.113.7" });
  await store.close();
});

test("the shell's list shows the address of a node's last call, also behind a proxy", async () => {
  const { second, poll, must, listed } = await rotated();
  const address = async () =>
    ((await must("list-node-details")).nodes as Array<Record<string, unknown>>)[0]?.last_address;
  await expect.poll(address).toBe("192.0.2.1");
  await poll(second, "2001:DB8::7");
  await expect.poll(address).toBe("2001:db8::7");
  expect(await listed()).not.toHaveProperty("last_address");
});

test("the list shows the address of a node that is refused for its address", async () => {
  const { second, poll, must, later, listed } = await rotated();
  await must("set-node", { name: "pi", ip_address: "192.0.2.0/24" });
  await expect.poll(listed).toMatchObject({ status: "behind" });
  later(1);
  expect(await poll(second, "203.0.113.7")).toBe(403);
  await expect.poll(listed).toMatchObject({
    status: "failing",
    reason: "address_refused",
    hint: expect.arrayContaining(["203.0.113.7"]),
  });
});
