import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

async function keyed() {
  let now = new Date("2026-03-01T12:00:00Z");
  const server = await startServer({}, { now: () => now });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const ask = (path: string, credential: string, method = "GET") =>
    fetch(`${server.url}/sync/v1/${path}`, { method, headers: { authorization: `Bearer ${credential}` } });
  const status = async (credential: string) => (await ask("maps", credential)).status;
  const fresh = async (credential: string) =>
    String(((await (await ask("key", credential, "POST")).json()) as { sync_key: string }).sync_key);
  const operators = testRuntime(server.store, { now: () => now });
  return {
    url: server.url,
    key,
    status,
    fresh,
    ask,
    rotate: () => operators.must("rotate-key", { name: "pi" }),
    later: (hours: number) => (now = new Date(now.getTime() + hours * 3_600_000)),
  };
}

test("a new key ends the old one at its first use, not before", async () => {
  const { key, status, fresh } = await keyed();
  const second = await fresh(key);
  expect(await status(key)).toBe(200);
  expect(await status(second)).toBe(200);
  expect(await status(key)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("the old key ends after a day even if the new one is never used", async () => {
  const { key, status, fresh, later } = await keyed();
  const second = await fresh(key);
  later(25);
  expect(await status(key)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("after two requests for a key the second key counts", async () => {
  const { key, status, fresh } = await keyed();
  const lost = await fresh(key);
  const second = await fresh(key);
  expect(await status(lost)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("the list shows why a node is refused for its address, and what to do, until it is admitted", async () => {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  const key = String((await server.api("add-node", { name: "pi", ip_address: "192.0.2.7" })).body.sync_key);
  const poll = async () => {
    const headers = { authorization: `Bearer ${key}` };
    return (await fetch(`${server.url}/sync/v1/maps`, { headers })).status;
  };
  const listed = async (endpoint: string) => ((await must(endpoint)).nodes as Array<{ status: string }>)[0];
  expect(await poll()).toBe(403);
  const refused = {
    status: "failing",
    reason: "address_refused",
    last_sync_at: null,
    hint: expect.arrayContaining([{ operator: "node set pi --ip CIDR" }]),
  };
  for (const endpoint of ["list-nodes", "list-node-details"])
    await expect.poll(() => listed(endpoint)).toMatchObject(refused);
  await must("set-node", { name: "pi", role: "mx" });
  expect(await listed("list-nodes")).toMatchObject(refused);
  // Before the node's next try the list does not repeat advice that was just followed.
  await must("set-node", { name: "pi", ip_address: "any" });
  for (const endpoint of ["list-nodes", "list-node-details"])
    expect(await listed(endpoint)).toMatchObject({ status: "never", reason: null });
  await must("set-node", { name: "pi", ip_address: "127.0.0.0/8" });
  expect(await poll()).toBe(200);
  await expect
    .poll(() => listed("list-nodes"))
    .toMatchObject({ status: "behind", reason: null, hint: expect.arrayContaining([{ node: "status" }]) });
});

test("a new key must not be cached", async () => {
  const { key, ask } = await keyed();
  expect((await ask("key", key, "POST")).headers.get("cache-control")).toBe("no-store");
});

test("no key is given without a key", async () => {
  const { key, fresh } = await keyed();
  expect(await fresh(key.replace(/.$/, "0").replace(/^m25key/, "m25tok"))).toBe("undefined");
});

test("after an operator's rotation a stolen key gets no other key, and the operator's key ends it", async () => {
  const { key, status, fresh, ask, rotate } = await keyed();
  const early = await fresh(key);
  const operators = String((await rotate()).sync_key);
  const refused = await ask("key", key, "POST");
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({
    code: "forbidden",
    hint: expect.stringContaining("m25-mail-node join"),
  });
  expect(await status(early)).toBe(401);
  expect(await status(operators)).toBe(200);
  expect(await status(key)).toBe(401);
  expect(await status(await fresh(operators))).toBe(200);
});

test("a thief's exchanged key ends when the operator's key is first used", async () => {
  const { key, status, fresh, rotate } = await keyed();
  const thiefs = await fresh(key);
  expect([await status(thiefs), await status(key)]).toEqual([200, 401]);
  const second = await fresh(thiefs);
  const operators = String((await rotate()).sync_key);
  expect([await status(second), await status(thiefs)]).toEqual([401, 200]);
  expect(await status(await fresh(operators))).toBe(200);
  expect([await status(thiefs), await status(operators)]).toEqual([401, 401]);
});

test("a key that asks for another again and again still ends a day after its first request", async () => {
  const { key, status, ask, fresh, rotate, later } = await keyed();
  const asked = await ask("key", key, "POST");
  const { old_key_ends_at } = (await asked.json()) as { old_key_ends_at: string };
  later(23);
  expect(await (await ask("key", key, "POST")).json()).toMatchObject({ old_key_ends_at });
  const second = await fresh(key);
  expect(await rotate()).toMatchObject({ old_key_ends_at });
  expect(await status(second)).toBe(401);
  later(1);
  expect(await status(key)).toBe(401);
});

test("a request that began before the successor was used gets no key", async () => {
  const { url, key, status, fresh } = await keyed();
  const second = await fresh(key);
  const body = { "content-type": "application/json", "content-length": 2, expect: "100-continue" };
  const headers = { authorization: `Bearer ${key}`, ...body };
  const asking = request(`${url}/sync/v1/key`, { method: "POST", headers, agent: false });
  const answered = once(asking, "response");
  asking.flushHeaders();
  await once(asking, "continue");
  expect(await status(second)).toBe(200);
  asking.end("{}");
  const [answer] = await answered;
  expect(JSON.parse(await text(answer))).toMatchObject({ status: 401, code: "unauthorized" });
  expect(await status(second)).toBe(200);
});
