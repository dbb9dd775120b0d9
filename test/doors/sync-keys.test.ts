import { expect, test } from "vitest";
import { startServer } from "../support/server.ts";

async function keyed() {
  let now = new Date("2026-03-01T12:00:00Z");
  const server = await startServer({}, { now: () => now });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const ask = (path: string, credential: string, method = "GET") =>
    fetch(`${server.url}/sync/v1/${path}`, { method, headers: { authorization: `Bearer ${credential}` } });
  const status = async (credential: string) => (await ask("maps", credential)).status;
  const fresh = async (credential: string) =>
    String(((await (await ask("key", credential, "POST")).json()) as { sync_key: string }).sync_key);
  return {
    key,
    status,
    fresh,
    later: (hours: number) => (now = new Date(now.getTime() + hours * 3_600_000)),
  };
}

test("a fresh key ends the old one when it is first used, not before", async () => {
  const { key, status, fresh } = await keyed();
  const second = await fresh(key);
  expect(await status(key)).toBe(200);
  expect(await status(second)).toBe(200);
  expect(await status(key)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("the old key ends after a day even where the fresh one is never used", async () => {
  const { key, status, fresh, later } = await keyed();
  const second = await fresh(key);
  later(25);
  expect(await status(key)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("a key that was asked for twice is the last one given", async () => {
  const { key, status, fresh } = await keyed();
  const lost = await fresh(key);
  const second = await fresh(key);
  expect(await status(lost)).toBe(401);
  expect(await status(second)).toBe(200);
});

test("nobody without a key gets one", async () => {
  const { key, fresh } = await keyed();
  expect(await fresh(key.replace(/.$/, "0").replace(/^m25key/, "m25tok"))).toBe("undefined");
});
