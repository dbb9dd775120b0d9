import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";

async function waitingNode() {
  const server = await startServer();
  const shell = testRuntime(server.store);
  await shell.must("add-domain", { domain: "example.nl" });
  const { body } = await server.api("add-node", { name: "pi" });
  const node = new SyncingNode(server.url, String(body.sync_key));
  await node.poll();
  return { server, shell, node };
}

test("a poll that may wait is answered when something changes, with the change", async () => {
  const { shell, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect((await waiting).kind).toBe("delta");
  expect([...(node.state?.users.keys() ?? [])]).toEqual(["jan@example.nl"]);
});

test("a change that another process makes wakes the waiting poll too", async () => {
  const { server, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  const entry = join(import.meta.dirname, "../../src/entry.ts");
  const args = [entry, "call", "add-domain", "--domain", "other.nl", "--db", server.database];
  const [code] = await once(spawn(process.execPath, args, { stdio: "ignore" }), "exit");
  expect(code).toBe(0);
  expect((await waiting).kind).toBe("delta");
});

test("a poll that waits for nothing is answered 304 in the end", async () => {
  const { node } = await waitingNode();
  expect((await node.poll({ prefer: "respond-async, wait=1" })).status).toBe(304);
});

test("what is no change of what nodes serve wakes nobody", async () => {
  const { shell, node } = await waitingNode();
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await shell.must("remove-user", { email: "jan@example.nl" });
  await node.poll();
  const waiting = node.poll({ prefer: "wait=2" });
  await shell.must("remove-user", { email: "jan@example.nl", hard_delete: true });
  await shell.must("add-node", { name: "another" });
  expect((await waiting).status).toBe(304);
});

test("a node that is removed while it waits is told nothing more", async () => {
  const { shell, node, server } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await server.store.write(({ nodes }) => nodes.remove("pi"));
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect((await waiting).status).toBe(401);
});

test("a server that stops lets the waiting polls go at once", async () => {
  const { server, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  // The poll is being served once its contact is noted.
  await expect
    .poll(() => server.api("list-nodes").then(({ body }) => JSON.stringify(body)), { timeout: 10_000 })
    .toContain('last_sync_at":"');
  await server.close();
  expect((await waiting).status).toBe(304);
});
