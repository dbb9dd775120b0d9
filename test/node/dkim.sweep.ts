/** DKIM keys: the node's program, the real server, and records in a real name server. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DkimKey } from "../../db/nodes/dkim-keys.ts";
import { lookForDueKeys, NSD, ownAddress, startNameServer } from "../support/name-server.ts";
import { temporaryFolder } from "./folder.ts";
import { type RealServer, realServer } from "./real-server.ts";
import type { Node } from "./support.ts";
import { quickClock } from "./support.ts";

const DAY = 86_400_000;
/** A group of no meaning on this machine. */
const SIGNERS = 60_123;

interface Signing extends RealServer {
  /** The node's folder of keys. */
  folder: string;
  /** Sets both ends' clocks forward. */
  pass(ms: number): void;
  keys(domain?: string): Promise<DkimKey[]>;
  /** Publishes these records, and lets the server look for them. */
  publish(...keys: Array<DkimKey | undefined>): Promise<void>;
  /** The selector with which a domain's mail is signed; undefined without a signature. */
  signs(domain?: string): string | undefined;
}

async function signingNode(users: readonly string[] = ["jan@example.nl"]): Promise<Signing> {
  let now = Date.now();
  const clock = { ...quickClock, now: () => now, monotonic: () => now };
  const group = async (name: string) => (name === "opendkim" ? SIGNERS : undefined);
  const real = await realServer(users, { parts: { clock, group } });
  const folder = join(temporaryFolder(), "dkim");
  real.node.config.dkim = folder;
  const { store } = real.server;
  const published = new Map<string, DkimKey>();
  return {
    ...real,
    folder,
    pass: (ms) => {
      now += ms;
    },
    keys: (domain = "example.nl") =>
      store.read(({ dkimKeys }) => dkimKeys.of(domain, new Date(now).toISOString())),
    publish: async (...keys) => {
      for (const key of keys) if (key !== undefined) published.set(key.selector, key);
      const nameServer = ownAddress();
      const stop = await startNameServer(nameServer, { "example.nl": zoneOf([...published.values()]) });
      now += 2 * 3_600_000;
      await lookForDueKeys(store, new Date(now), nameServer);
      await stop();
    },
    signs: (domain = "example.nl") => signingSelector(folder, domain),
  };
}

function zoneOf(keys: readonly DkimKey[]): string {
  return keys
    .map(({ selector, publicKey }) => {
      const text = `v=DKIM1; k=rsa; p=${publicKey}`;
      return `${selector}._domainkey TXT "${text.slice(0, 255)}" "${text.slice(255)}"`;
    })
    .join("\n");
}

function signingSelector(folder: string, domain: string): string | undefined {
  const rows = (name: string) => readFileSync(join(folder, name), "utf8").split("\n");
  if (!rows("SigningTable").includes(`${domain} ${domain}`)) return undefined;
  const row = rows("KeyTable").find((one) => one.startsWith(`${domain} ${domain}:`)) ?? "";
  const [, selector, file] = row.split(":");
  expect(file).toBe(join(folder, "private", `${selector}.pem`));
  expect(existsSync(file ?? "")).toBe(true);
  return selector;
}

/** Polls, and fails on a warning about DKIM. */
async function poll(node: Node): Promise<void> {
  expect(await node.poll()).toMatchObject({ exitCode: 0 });
  expect(node.log.filter((line) => line.startsWith("warning: DKIM"))).toEqual([]);
}

describe.skipIf(!existsSync(NSD))("with a name server", () => {
  test("a key is made for each domain, and signs once its record is in DNS", async () => {
    const { node, keys, publish, signs } = await signingNode();
    await poll(node);
    const [key, ...others] = await keys();
    expect({ key, others }).toMatchObject({ key: { isSeen: false, until: null }, others: [] });
    expect(signs()).toBeUndefined();
    await publish();
    await poll(node);
    expect(signs()).toBeUndefined();
    await publish(key);
    await poll(node);
    expect(signs()).toBe(key?.selector);
    expect(node.log.at(-1)).toBe("signs mail of example.nl");
  });

  test("a record with another key does not count", async () => {
    const { node, keys, publish, signs } = await signingNode(["jan@example.nl", "jan@example.org"]);
    await poll(node);
    const [[own], [other]] = [await keys(), await keys("example.org")];
    await publish(own && other && { ...own, publicKey: other.publicKey });
    await poll(node);
    expect(signs()).toBeUndefined();
  });

  test("a key is replaced: the old one signs until the new record is there, and its record stays for 14 days", async () => {
    const { node, must, keys, publish, signs, pass, folder } = await signingNode();
    await poll(node);
    const [old] = await keys();
    await publish(old);
    await poll(node);
    expect(await must("rotate-dkim", { domain: "example.nl" })).toMatchObject({ asked: 1 });
    await poll(node);
    await poll(node);
    const [, fresh] = await keys();
    expect(await keys()).toMatchObject([
      { selector: old?.selector, isSeen: true, until: null },
      { isSeen: false, until: null },
    ]);
    expect(signs()).toBe(old?.selector);
    await publish(fresh);
    await poll(node);
    expect(signs()).toBe(fresh?.selector);
    await poll(node);
    expect(await keys()).toMatchObject([
      { selector: fresh?.selector, until: null },
      { selector: old?.selector, until: expect.any(String) },
    ]);
    pass(13 * DAY);
    await poll(node);
    expect(await keys()).toHaveLength(2);
    expect(readdirSync(join(folder, "private"))).toHaveLength(2);
    pass(2 * DAY);
    await poll(node);
    expect(await keys()).toHaveLength(1);
    expect(readdirSync(join(folder, "private"))).toEqual([`${fresh?.selector}.pem`]);
  });

  test("a removed domain is signed no more, and gets its key back if it returns within 14 days", async () => {
    const { node, must, keys, publish, signs, pass, folder } = await signingNode([
      "jan@example.nl",
      "jan@example.org",
    ]);
    await poll(node);
    const [key] = await keys();
    await publish(key);
    await poll(node);
    const remove = async () => {
      await must("remove-user", { email: "jan@example.nl", hard_delete: true });
      await must("remove-domain", { domain: "example.nl" });
      await poll(node);
    };
    await remove();
    expect(signs()).toBeUndefined();
    expect(await keys()).toMatchObject([{ selector: key?.selector, until: expect.any(String) }]);
    pass(10 * DAY);
    await must("add-domain", { domain: "example.nl" });
    await must("add-user", { email: "jan@example.nl", password: "correct horse battery" });
    await poll(node);
    expect(signs()).toBe(key?.selector);
    expect(await keys()).toMatchObject([{ selector: key?.selector, until: null }]);
    await remove();
    pass(15 * DAY);
    await poll(node);
    expect(readdirSync(join(folder, "private"))).toHaveLength(1);
  });

  /** A node that signs mail of example.nl. */
  async function signs(): Promise<Signing & { selector: string }> {
    const signing = await signingNode();
    await poll(signing.node);
    const [key] = await signing.keys();
    await signing.publish(key);
    await poll(signing.node);
    expect(signing.signs()).toBe(key?.selector);
    return { ...signing, selector: key?.selector ?? "" };
  }

  test("a node goes on to sign while the server is away, DNS fails or has lost the record", async () => {
    const { node, proxy, server, pass, selector, ...signing } = await signs();
    await proxy.close();
    await node.poll();
    expect(signing.signs()).toBe(selector);
    await proxy.open();
    for (const nameServer of [ownAddress(), undefined]) {
      pass(DAY);
      if (nameServer === undefined) await signing.publish();
      else await lookForDueKeys(server.store, new Date(), nameServer);
      await poll(node);
      expect(signing.signs()).toBe(selector);
    }
  });

  test("a node whose removals are withheld goes on to sign for their domain", async () => {
    const { node, must, selector, ...signing } = await signs();
    node.config.thresholds = { percent: 0, users: 0 };
    await must("remove-user", { email: "jan@example.nl", hard_delete: true });
    await must("remove-domain", { domain: "example.nl" });
    expect(await node.poll()).toMatchObject({ exitCode: 65 });
    expect(signing.signs()).toBe(selector);
  });

  test("a lost folder, or a lost key, gets new keys, and the old record stays for a while", async () => {
    const { node, folder, selector, ...signing } = await signs();
    let former = selector;
    for (const lose of [
      () => rmSync(folder, { recursive: true }),
      () => rmSync(join(folder, "private", `${former}.pem`)),
    ]) {
      lose();
      await poll(node);
      expect(signing.signs()).toBeUndefined();
      const [key, ...old] = await signing.keys();
      expect(old).toContainEqual(expect.objectContaining({ selector: former, until: expect.any(String) }));
      former = key?.selector ?? "";
      await signing.publish(key);
      await poll(node);
      expect(signing.signs()).toBe(former);
    }
  });

  test("damaged notes change nothing that signs, and say what to do", async () => {
    const { node, folder, selector, ...signing } = await signs();
    writeFileSync(join(folder, "keys.json"), "{");
    await node.poll();
    expect(node.log.at(-1)).toMatch(/^warning: DKIM: .*keys.json is damaged.*remove its folder to begin/);
    expect(signing.signs()).toBe(selector);
  });

  test("a node that was added again, or whose server was restored, reports its keys again and goes on", async () => {
    const { node, must, server, selector, ...signing } = await signs();
    await must("remove-node", { name: "pi" });
    const { sync_key } = await must("add-node", { name: "pi" });
    writeFileSync(node.config.keyFile, `${sync_key}\n`, { mode: 0o600 });
    await poll(node);
    await poll(node);
    expect(await signing.keys()).toMatchObject([{ selector, until: null }]);
    await server.store.write(({ state }) => state.startHistory(new Date().toISOString()));
    await poll(node);
    await poll(node);
    expect(await signing.keys()).toMatchObject([{ selector, until: null }]);
    expect(signing.signs()).toBe(selector);
  });

  test("a domain alias has a key of its own", async () => {
    const { node, must, keys, signs: selectorOf, publish } = await signingNode();
    await must("set-domain-alias", { domain: "alias.example", of: "example.nl" });
    await poll(node);
    const [own] = await keys("alias.example");
    expect(own?.selector).not.toBe((await keys())[0]?.selector);
    await publish();
    expect(selectorOf("alias.example")).toBeUndefined();
  });
});

test("private keys are readable for the signer's group only, and never leave the node", async () => {
  const { node, keys, folder, server } = await signingNode();
  await poll(node);
  const [key] = await keys();
  const file = join(folder, "private", `${key?.selector}.pem`);
  const access = (path: string) => {
    const { mode, uid, gid } = statSync(path);
    return { mode: mode & 0o7777, uid, gid };
  };
  if (process.geteuid?.() === 0) {
    for (const path of [folder, join(folder, "private")])
      expect(access(path)).toEqual({ mode: 0o750, uid: 0, gid: SIGNERS });
    for (const path of [file, join(folder, "KeyTable"), join(folder, "SigningTable")])
      expect(access(path)).toEqual({ mode: 0o640, uid: 0, gid: SIGNERS });
  } else expect(access(file).mode).toBe(0o600);
  const secret = readFileSync(file, "utf8").split("\n")[5] ?? "";
  expect(secret).toHaveLength(64);
  const atServer = [server.database, `${server.database}-wal`].map((path) => readFileSync(path, "latin1"));
  expect(atServer.join("")).toContain(key?.publicKey);
  expect(atServer.join("")).not.toContain(secret);
  expect(node.log.join()).not.toContain(secret);
});

test("without the option a node makes no keys", async () => {
  const { node, keys, folder } = await signingNode();
  node.config.dkim = undefined;
  await poll(node);
  expect(await keys()).toEqual([]);
  expect(existsSync(folder)).toBe(false);
});
