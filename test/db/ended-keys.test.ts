import { expect, test } from "vitest";
import { logTo } from "../../src/log/log.ts";
import { startHousekeeping } from "../../src/program/housekeeping.ts";
import { rawDatabase } from "../support/recount.ts";
import { testStore } from "../support/store.ts";

const at = "2026-03-01T12:00:00.000Z";

const daysAgo = (days: number) => new Date(Date.parse(at) - days * 86_400_000).toISOString();

/** Returns a store with the node pi, and what the store remembers of ended keys. */
async function withNode() {
  const made = testStore();
  await made.must("add-node", { name: "pi" });
  const database = rawDatabase(made.file);
  const insert = database.prepare(
    "INSERT INTO ended_keys (key_id, key_hash, node_id, node, ended_at) VALUES (?, 'h', ?, 'pi', ?)",
  );
  return {
    ...made,
    id: (await made.store.read(({ nodes }) => nodes.all()))[0]?.id ?? 0,
    /** Adds keys that ended in this order, the last one `days` ago. */
    end: database.transaction((keys: readonly string[], days: number, node: number | null) => {
      for (const [index, key] of keys.entries()) insert.run(key, node, daysAgo(days + keys.length - index));
    }),
    known: () => Number(database.prepare("SELECT count(*) FROM ended_keys").pluck().get()),
    knows: async (key: string) => (await (await made.store.polls.look()).endedKey(key)) !== undefined,
  };
}

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`);

test("the youngest thousand ended keys of a node are remembered, and used ones before unused ones", async () => {
  const { store, id, end, known, knows } = await withNode();
  end(numbered(1000), 0, id);
  end(["removed"], 2000, null);
  await store.write(({ endedKeys }) => endedKeys.notePresented("k1", "192.0.2.1", at));
  for (const key of ["new", "newer", "newest"]) {
    await store.write(async ({ nodes }) => {
      await nodes.addOperatorsKey("pi", { id: key, hash: key }, at, at);
    });
  }
  // Each unused key made room for the next.
  expect(known()).toBe(1001);
  const keys = ["removed", "k0", "k1", "k2", "k3", "k999", "new", "newer", "newest"];
  const remembered = await Promise.all(keys.map(knows));
  expect(keys.filter((_, index) => remembered[index])).toEqual([
    "removed",
    "k1",
    "k3",
    "k999",
    "new",
    "newer",
  ]);
});

test("keys that ended a year ago are forgotten in batches, younger ones are not", async () => {
  const { store, runtime, end, known, knows } = await withNode();
  end(numbered(2500), 365, null);
  end(["young"], 363, null);
  expect(await store.write(({ endedKeys }) => endedKeys.forget(new Date(at)))).toBe(true);
  expect(known()).toBe(1501);
  const housekeeping = startHousekeeping(
    { ...runtime, now: () => new Date(at) },
    logTo(() => {}),
    () => true,
    undefined,
  );
  await expect.poll(known).toBe(1);
  await housekeeping.stop();
  expect(await knows("young")).toBe(true);
});
