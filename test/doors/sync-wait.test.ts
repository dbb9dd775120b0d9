import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { m25mail } from "../support/program.ts";
import { startServer, type TestServer } from "../support/server.ts";
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

test("a waiting poll is answered with the change", async () => {
  const { shell, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  expect((await waiting).kind).toBe("delta");
  expect([...(node.state?.users.keys() ?? [])]).toEqual(["jan@example.nl"]);
});

test("a change by another process wakes the waiting poll too", async () => {
  const { server, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  const entry = join(import.meta.dirname, "../../src/program/entry.ts");
  const args = [entry, "call", "add-domain", "--domain", "other.nl", "--db", server.database];
  const [code] = await once(spawn(process.execPath, args, { stdio: "ignore" }), "exit");
  expect(code).toBe(0);
  expect((await waiting).kind).toBe("delta");
});

test("a wait without a change ends with 304", async () => {
  const { node } = await waitingNode();
  expect((await node.poll({ prefer: "respond-async, wait=1" })).status).toBe(304);
});

test("a change that nodes do not serve wakes nobody", async () => {
  const { shell, node } = await waitingNode();
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await shell.must("remove-user", { email: "jan@example.nl" });
  await node.poll();
  const waiting = node.poll({ prefer: "wait=2" });
  await shell.must("remove-user", { email: "jan@example.nl", hard_delete: true });
  await shell.must("add-node", { name: "another" });
  expect((await waiting).status).toBe(304);
});

/** Runs the shell's command in a process of its own. */
async function command(server: TestServer, ...args: string[]): Promise<void> {
  const { code, stderr } = await m25mail([...args, "--db", server.database]);
  expect([code, stderr]).toEqual([0, ""]);
}

test("a node that is removed while it waits is told so at once, and nothing more", async () => {
  const { node, server } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await command(server, "node", "remove", "pi");
  expect((await waiting).status).toBe(401);
});

test("an operator's acceptance of removals reaches the waiting node at once, and once only", async () => {
  const { server, shell, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await command(server, "node", "accept", "pi");
  const { status, headers } = await waiting;
  const told = headers.get("m25-accept-removals") ?? "";
  expect([status, told]).toEqual([304, "1;n=1"]);
  expect((await node.poll({ prefer: "wait=1", "m25-accept-removals": told })).status).toBe(304);

  // A second acceptance, between two polls and at the same revision, also reaches the node at once.
  await shell.must("accept-removals", { all: true });
  const began = performance.now();
  const late = await node.poll({ prefer: "wait=55", "m25-accept-removals": told });
  expect([late.status, late.headers.get("m25-accept-removals")]).toEqual([304, "1;n=2"]);
  expect(performance.now() - began).toBeLessThan(50_000);
});

test("a node that does not report earlier acceptances waits as others do", async () => {
  const { shell, node } = await waitingNode();
  await shell.must("accept-removals", { name: "pi" });
  const began = performance.now();
  expect((await node.poll({ prefer: "wait=1" })).status).toBe(304);
  expect(performance.now() - began).toBeGreaterThan(900);
});

test("a node whose role or domains change while it waits gets its new part at once", async () => {
  const { server, shell, node } = await waitingNode();
  await shell.must("add-domain", { domain: "other.nl" });
  await shell.must("add-user", { email: "jan@example.nl", password: PASSWORD });
  await node.poll();
  const waiting = node.poll({ prefer: "wait=55" });
  await command(server, "node", "set", "pi", "--role", "mx", "--domains", "example.nl");
  expect((await waiting).kind).toBe("snapshot");
  expect(node.state).toMatchObject({ role: "mx", domains: new Map([["example.nl", expect.anything()]]) });
});

test("a node whose address is no longer allowed is told so at once, even while it waits", async () => {
  const { server, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  await command(server, "node", "set", "pi", "--ip", "192.0.2.1");
  expect((await waiting).status).toBe(403);
});

test("a server that stops sends the waiting nodes away at once, to retry within seconds", async () => {
  const { server, node } = await waitingNode();
  const waiting = node.poll({ prefer: "wait=55" });
  // The poll is being served once its contact is recorded.
  await expect
    .poll(() => server.api("list-nodes").then(({ body }) => JSON.stringify(body)))
    .toContain('last_sync_at":"');
  await server.close();
  const { status, headers } = await waiting;
  expect(status).toBe(503);
  expect(Number(headers.get("retry-after"))).toSatisfy((seconds) => seconds >= 1 && seconds <= 10);
});
