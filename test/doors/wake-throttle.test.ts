import { expect, test } from "vitest";
import type { ThrottleClocks } from "../../src/doors/sync/wake-throttle.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

/** A server, its shell and up-to-date nodes. */
async function nodesOf(count: number, throttleClocks?: ThrottleClocks) {
  const server = await startServer({}, throttleClocks && { throttleClocks });
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "example.nl" });
  const nodes = [];
  for (let number = 1; number <= count; number += 1) {
    const { body } = await server.api("add-node", { name: `node-${number}` });
    const node = new SyncingNode(server.url, String(body.sync_key));
    await node.poll();
    nodes.push(node);
  }
  return { server, shell, nodes };
}

/** Clocks that only the test moves. Each wake costs `cost` ms of processor time. */
function setClocks(cost: number) {
  const clocks = { at: 0, worked: 0 };
  const throttleClocks: ThrottleClocks = {
    now: () => clocks.at,
    processor: () => {
      clocks.worked += cost;
      return clocks.worked;
    },
  };
  return { clocks, throttleClocks };
}

test("waiting nodes get many changes in a row together, not one by one", async () => {
  const { shell, nodes } = await nodesOf(5);
  const began = performance.now();
  let running = true;
  let deltas = 0;
  const following = nodes.map(async (node) => {
    while (running) if ((await node.poll({ prefer: "wait=55" })).kind === "delta") deltas += 1;
  });
  for (let number = 1; number <= 100; number += 1) {
    await shell.must("add-domain", { domain: `d${number}.example` });
  }
  const most = nodes.length * (2 + (performance.now() - began) / 250);
  expect(deltas).toBeLessThanOrEqual(most);
  running = false;
  await shell.must("add-domain", { domain: "last.example" });
  await Promise.all(following);
  for (const node of nodes) expect(node.state?.domains.size).toBe(102);
});

test("a node that waits again gets the next change 250 ms after the last wake", async () => {
  const { clocks, throttleClocks } = setClocks(1);
  const { shell, nodes } = await nodesOf(2, throttleClocks);
  const [node, other] = nodes as [SyncingNode, SyncingNode];
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-domain", { domain: "one.example" });
  expect((await waiting).kind).toBe("delta");
  await shell.must("add-domain", { domain: "two.example" });
  const began = performance.now();
  const early = await node.poll({ prefer: "wait=1" });
  expect([early.kind, performance.now() - began > 900]).toEqual(["delta", true]);
  const late = other.poll({ prefer: "wait=55" });
  clocks.at = 250;
  expect((await late).kind).toBe("delta");
  expect(performance.now() - began).toBeLessThan(50_000);
});

test("a costly wake is followed by a pause of twice its processor time", async () => {
  const { clocks, throttleClocks } = setClocks(500);
  const { shell, nodes } = await nodesOf(1, throttleClocks);
  const [node] = nodes as [SyncingNode];
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-domain", { domain: "one.example" });
  expect((await waiting).kind).toBe("delta");
  await shell.must("add-domain", { domain: "two.example" });
  clocks.at = 999;
  const began = performance.now();
  expect((await node.poll({ prefer: "wait=1" })).kind).toBe("delta");
  expect(performance.now() - began).toBeGreaterThan(900);
});

test("a poll without a wait is answered at once, even right after a wake", async () => {
  const { throttleClocks } = setClocks(1_000_000);
  const { shell, nodes } = await nodesOf(1, throttleClocks);
  const [node] = nodes as [SyncingNode];
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-domain", { domain: "one.example" });
  await waiting;
  await shell.must("add-domain", { domain: "two.example" });
  expect((await node.poll()).kind).toBe("delta");
});

test("a server that stops does not make nodes wait for the pause", async () => {
  const { throttleClocks } = setClocks(1_000_000);
  const { server, shell, nodes } = await nodesOf(1, throttleClocks);
  const [node] = nodes as [SyncingNode];
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-domain", { domain: "one.example" });
  await waiting;
  const idle = node.poll({ prefer: "wait=55" });
  const authorization = `Bearer ${server.token}`;
  const metrics = async () => (await fetch(`${server.url}/metrics`, { headers: { authorization } })).text();
  await expect.poll(metrics).toContain("polls_waiting 1\n");
  await shell.must("add-domain", { domain: "two.example" });
  const began = performance.now();
  await server.close();
  expect((await idle).status).toBe(503);
  expect(performance.now() - began).toBeLessThan(50_000);
});
