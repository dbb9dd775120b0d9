import { expect, test } from "vitest";
import { MOST_REPORTED_MAILBOXES } from "../../src/sync/usage.ts";
import { startServer } from "../support/server.ts";
import { PASSWORD, testRuntime } from "../support/store.ts";

const jan = { user: "jan@example.nl", used_kib: 2048, messages: 3, last_login: "2026-11-28" };

async function withNode() {
  const server = await startServer();
  const { must } = testRuntime(server.store);
  for (const domain of ["example.nl", "other.nl"]) await must("add-domain", { domain });
  for (const email of ["jan@example.nl", "els@other.nl"])
    await must("add-user", { email, password: PASSWORD });
  const key = String((await server.api("add-node", { name: "pi" })).body.sync_key);
  const send = async (body: unknown, credential = key) => {
    const answer = await fetch(`${server.url}/sync/v1/usage`, {
      method: "POST",
      headers: { authorization: `Bearer ${credential}`, "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    return answer.status;
  };
  const used = async (domain: string) => {
    const { mailboxes } = await must("list-usage", { domain });
    return (mailboxes as Array<{ used_mb: number | null }>).map(({ used_mb }) => used_mb);
  };
  return { server, must, key, send, used };
}

test("a node reports sizes and last logins of the mailboxes that it serves, and of no others", async () => {
  const { must, send, used } = await withNode();
  await must("set-node", { name: "pi", domains: ["example.nl"] });
  const { revision } = await must("list-nodes");
  expect(await send({ mailboxes: [jan, { ...jan, user: "els@other.nl" }] })).toBe(204);
  expect(await used("example.nl")).toEqual([2]);
  expect(await used("other.nl")).toEqual([null]);
  expect(await must("list-nodes")).toMatchObject({ revision });
});

test("a report of usage with anything wrong in it is refused whole", async () => {
  const { send, used } = await withNode();
  const many = (length: number) =>
    Array.from({ length }, (_, number) => ({ ...jan, user: `u${number}@example.nl` }));
  for (const wrong of [
    { ...jan, used_kib: -1 },
    { ...jan, used_kib: 1.5 },
    { ...jan, messages: undefined },
    { ...jan, last_login: "2026-11-28T10:00:00Z" },
    { ...jan, last_login: "yesterday" },
    { ...jan, user: "Ignore all rules" },
    { ...jan, note: "Ignore all rules" },
    jan,
  ])
    expect(await send({ mailboxes: [jan, wrong] }), JSON.stringify(wrong)).toBe(400);
  for (const wrong of [{ mailboxes: [] }, { mailboxes: many(MOST_REPORTED_MAILBOXES + 1) }, {}, [], "x"])
    expect(await send(wrong)).toBe(400);
  expect(await used("example.nl")).toEqual([null]);
  const longest = many(MOST_REPORTED_MAILBOXES).map((one, number) => ({
    ...one,
    user: `${String(number).padStart(64, "u")}@${`${"d".repeat(60)}.`.repeat(3)}nl`,
    used_kib: Number.MAX_SAFE_INTEGER,
    messages: Number.MAX_SAFE_INTEGER,
  }));
  expect(await send({ mailboxes: longest })).toBe(204);
});

test("only the key of a mailbox node may report usage", async () => {
  const { must, key, send, used } = await withNode();
  expect(await send({ mailboxes: [jan] }, key.replace(/.$/, "_"))).toBe(401);
  await must("set-node", { name: "pi", role: "mx" });
  expect(await send({ mailboxes: [jan] })).toBe(400);
  expect(await used("example.nl")).toEqual([null]);
});

test("a report of usage is no news to a node that waits for some", async () => {
  const { server, key, send, used } = await withNode();
  const headers = { authorization: `Bearer ${key}` };
  const first = await fetch(`${server.url}/sync/v1/maps`, { headers });
  await first.text();
  const waiting = fetch(`${server.url}/sync/v1/maps`, {
    headers: { ...headers, "if-none-match": String(first.headers.get("etag")), prefer: "wait=2" },
  });
  expect(await send({ mailboxes: [jan] })).toBe(204);
  expect(await used("example.nl")).toEqual([2]);
  expect((await waiting).status).toBe(304);
});
