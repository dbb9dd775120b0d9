import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { expectRefusal } from "../../support/outcome.ts";
import { type TestStore, testStore } from "../../support/store.ts";

/** A store whose nodes have views of their own. Every third node has called. */
async function manyNodes(count: number): Promise<TestStore> {
  const made = testStore();
  const names = Array.from({ length: count }, (_, index) => `n${String(index).padStart(5, "0")}`);
  const at = new Date().toISOString();
  await made.store.write(async ({ nodes }) => {
    for (const name of names) {
      await nodes.add({ name, ipAddress: null, keyId: name, keyHash: name }, at);
      await nodes.set(name, { domains: [`${name}.example`] });
    }
  });
  const all = await made.store.read(({ nodes }) => nodes.all());
  const called = all.filter((_, index) => index % 3 === 0).map(({ id }) => id);
  await made.store.recordContacts({
    nodes: new Map(called.map((id) => [id, "192.0.2.9"])),
    tokens: new Set(),
    at,
  });
  return made;
}

/** Returns the names on each page, and the total of each page. */
async function pages({ must }: TestStore, input: Record<string, unknown>) {
  const names: string[][] = [];
  const totals = new Set<unknown>();
  let cursor: unknown;
  do {
    const page = await must("list-nodes", { ...input, ...(typeof cursor === "string" && { cursor }) });
    names.push((page.nodes as Array<{ name: string }>).map(({ name }) => name));
    totals.add(page.total);
    cursor = page.next_cursor;
  } while (cursor !== null);
  return { names, totals: [...totals] };
}

test("the pages list many nodes once each, in order of name", async () => {
  const made = await manyNodes(700);
  const { names, totals } = await pages(made, { limit: 300 });
  expect(names.map(({ length }) => length)).toEqual([300, 300, 100]);
  expect(names.flat()).toEqual([...new Set(names.flat())].sort());
  expect(totals).toEqual([700]);
  expect(((await made.must("list-nodes")).nodes as unknown[]).length).toBe(100);
});

test("only nodes of the given status are listed and counted, on every page", async () => {
  const made = await manyNodes(700);
  const behind = await pages(made, { status: "behind", limit: 100 });
  expect(behind.names.map(({ length }) => length)).toEqual([100, 100, 34]);
  expect(behind.totals).toEqual([234]);
  const never = await pages(made, { status: "never", limit: 1000 });
  expect([never.names[0]?.length, never.totals]).toEqual([466, [466]]);
  expect([...behind.names.flat(), ...never.names.flat()].sort()).toEqual(
    (await pages(made, { limit: 1000 })).names.flat(),
  );
  expect(await pages(made, { status: "failing" })).toEqual({ names: [[]], totals: [0] });
});

test("an invalid limit, cursor or status is refused", async () => {
  const { run } = testStore();
  for (const input of [{ limit: 0 }, { limit: 1001 }, { cursor: "?" }, { status: "broken" }]) {
    expectRefusal(await run("list-nodes", input), "invalid_input");
  }
});

test("other calls are served during a search for one status among many nodes", async () => {
  const made = await manyNodes(2000);
  let turns = 0;
  let running = true;
  const counting = (async () => {
    while (running) {
      await nextTurn();
      turns += 1;
    }
  })();
  await made.must("list-nodes", { status: "failing" });
  running = false;
  await counting;
  expect(turns).toBeGreaterThanOrEqual(8);
});
