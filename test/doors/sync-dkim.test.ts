/** POST /sync/v1/dkim, with the real server. */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { describe, expect, onTestFinished, test } from "vitest";
import { dkimSelector } from "../../src/mail/dkim-key.ts";
import { MOST_DKIM_DOMAINS } from "../../src/sync/dkim.ts";
import { NSD, ownAddress, startNameServer } from "../support/name-server.ts";
import { startServer } from "../support/server.ts";
import { testRuntime } from "../support/store.ts";

/** A text with the form of a key: the server never uses one. */
function keyLike(number: number): string {
  const modulus = String(number).padStart(342, "A");
  return `MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA${modulus}IDAQAB`;
}

interface Answer {
  status: number;
  cursor: string;
  keys: Record<string, string>;
  more: boolean;
}

async function withNode(flags: Record<string, string> = {}, limits?: Record<string, unknown>) {
  const server = await startServer(flags);
  const { must } = testRuntime(server.store);
  for (const domain of ["example.nl", "other.example"]) await must("add-domain", { domain });
  const join = async (name: string, own?: Record<string, unknown>) => {
    const { sync_key } = await must("add-node", { name });
    if (own !== undefined) await must("set-node", { name, ...own });
    return async (cursor: string, keys: Record<string, unknown> = {}): Promise<Answer> => {
      const response = await fetch(`${server.url}/sync/v1/dkim`, {
        method: "POST",
        headers: { authorization: `Bearer ${sync_key}`, "content-type": "application/json" },
        body: JSON.stringify({ cursor, keys }),
      });
      return { status: response.status, ...((await response.json()) as Omit<Answer, "status">) };
    };
  };
  const of = (domain: string) =>
    server.store.read(({ dkimKeys }) => dkimKeys.of(domain, new Date().toISOString()));
  return { ...server, must, join, of, report: await join("pi", limits) };
}

test("a node's keys are acknowledged once, and then only what has changed is told", async () => {
  const { report, of } = await withNode();
  const [one, two] = [keyLike(1), keyLike(2)];
  const first = await report("", { "example.nl": [one] });
  expect(first).toMatchObject({ status: 200, keys: { [dkimSelector(one)]: "known" }, more: false });
  expect(await report(first.cursor)).toMatchObject({ cursor: first.cursor, keys: {} });
  const second = await report(first.cursor, { "other.example": [two] });
  expect(second.keys).toEqual({ [dkimSelector(two)]: "known" });
  expect((await report("")).keys).toEqual({ [dkimSelector(one)]: "known", [dkimSelector(two)]: "known" });
  expect(await of("example.nl")).toMatchObject([
    { selector: dkimSelector(one), publicKey: one, isSeen: false },
  ]);
});

test("a node brings keys only for domains and domain aliases that it serves, and an MX-only node brings none", async () => {
  const { report, join, must, of } = await withNode({}, { domains: ["example.nl"] });
  await must("set-domain-alias", { domain: "alias.example", of: "example.nl" });
  await must("set-domain-alias", { domain: "foreign.example", of: "other.example" });
  const names = ["example.nl", "alias.example", "other.example", "foreign.example", "unknown.example"];
  const keys = Object.fromEntries(names.map((name, number) => [name, [keyLike(number)]]));
  expect(Object.keys((await report("", keys)).keys)).toEqual(
    [0, 1].map((number) => dkimSelector(keyLike(number))),
  );
  for (const name of names.slice(2)) expect(await of(name)).toEqual([]);
  const mx = await join("mx", { role: "mx" });
  expect(await mx("", { "example.nl": [keyLike(9)] })).toMatchObject({ status: 400 });
});

test("a report that is none is refused: text, other keys, too many", async () => {
  const { report } = await withNode();
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, number) => [`d${number}.example`, []]));
  for (const keys of [
    { "example.nl": ["Ignore all instructions"] },
    { "example.nl": [keyLike(1).replace("MIIB", "MIIC")] },
    { "Example.NL.": [keyLike(1)] },
    { "example.nl": [1, 2, 3, 4].map(keyLike) },
    many(MOST_DKIM_DOMAINS + 1),
  ])
    expect(await report("", keys)).toMatchObject({ status: 400 });
  expect(await report("anything")).toMatchObject({ status: 400 });
  expect(await report("", many(MOST_DKIM_DOMAINS))).toMatchObject({ status: 200 });
});

test("a cursor of another node or of a later state is not known, and the node begins again", async () => {
  const { report, join, must } = await withNode();
  const { cursor } = await report("", { "example.nl": [keyLike(1)] });
  const other = await join("other");
  expect(await other(cursor)).toMatchObject({ status: 200, cursor: "", keys: {} });
  const [history, node] = cursor.split("-");
  expect(await report(`${history}-${node}-99`)).toMatchObject({ cursor: "" });
  expect(await report(`${"0".repeat(32)}-${node}-1`)).toMatchObject({ cursor: "" });
  await must("remove-node", { name: "pi" });
  expect(await report(cursor)).toMatchObject({ status: 401 });
});

test("more keys than fit into one answer come in several", async () => {
  const { report, store } = await withNode();
  const names = Array.from({ length: 520 }, (_, number) => `d${number}.example`);
  await store.write(async ({ domains }) => {
    for (const name of names) await domains.add(name, new Date().toISOString());
  });
  for (let at = 0; at < names.length; at += MOST_DKIM_DOMAINS) {
    const some = names.slice(at, at + MOST_DKIM_DOMAINS);
    await report("", Object.fromEntries(some.map((name, index) => [name, [keyLike(at + index)]])));
  }
  const first = await report("");
  expect([Object.keys(first.keys).length, first.more]).toEqual([500, true]);
  const second = await report(first.cursor);
  expect([Object.keys(second.keys).length, second.more]).toEqual([20, false]);
});

test("a removed node's key is not waited for, and one that signed stays for its mail's sake", async () => {
  const { report, store, must, of } = await withNode();
  await report("", { "example.nl": [keyLike(1)], "other.example": [keyLike(2)] });
  const at = new Date().toISOString();
  await store.write(async ({ dkimKeys }) => {
    const [first] = await dkimKeys.unseen(at, 1);
    if (first !== undefined) await dkimKeys.noteSeen(first.id, at);
  });
  await must("remove-node", { name: "pi" });
  expect([...(await of("example.nl")), ...(await of("other.example"))]).toMatchObject([
    { isSeen: true, until: expect.any(String) },
  ]);
});

describe.skipIf(!existsSync(NSD))("with a name server", () => {
  test("the running server looks for a key's record by itself", async () => {
    const { publicKey } = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "der" },
      privateKeyEncoding: { type: "pkcs8", format: "der" },
    });
    const key = publicKey.toString("base64");
    const text = `"v=DKIM1; p=${key.slice(0, 200)}" "${key.slice(200)}"`;
    const nameServer = ownAddress();
    onTestFinished(
      await startNameServer(nameServer, { "example.nl": `${dkimSelector(key)}._domainkey TXT ${text}` }),
    );
    const { report, of } = await withNode({ "name-server": nameServer });
    const { cursor } = await report("", { "example.nl": [key] });
    await expect.poll(() => of("example.nl"), { timeout: 60_000 }).toMatchObject([{ isSeen: true }]);
    expect((await report(cursor)).keys).toEqual({ [dkimSelector(key)]: "seen" });
  });
});
