/** DKIM records in a real name server. */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkDns, zoneText } from "../../src/dns/check.ts";
import { type DomainKey, isPublished } from "../../src/dns/dkim-record.ts";
import { NSD, ownAddress, startNameServer } from "../support/name-server.ts";

const DOMAIN = "example.nl";
const [own, other] = [newKey(), newKey()];

function newKey(): string {
  const { publicKey } = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "der" },
    privateKeyEncoding: { type: "pkcs8", format: "der" },
  });
  return publicKey.toString("base64");
}

const inPieces = (text: string) => (text.match(/.{1,200}/g) ?? []).map((piece) => `"${piece}"`).join(" ");
const published = (key: string) => `TXT ${inPieces(`v=DKIM1; k=rsa; p=${key}`)}`;

/** The records of one name, and what is said about it. */
const cases: Readonly<Record<string, [records: string[], says: RegExp]>> = {
  right: [[published(own)], /^ok$/],
  "without-tags": [[`TXT ${inPieces(`p=${own}`)}`], /^ok$/],
  none: [[], /^missing: A node signs with this key/],
  another: [[published(other)], /^wrong: It has another key/],
  twice: [[published(own), published(other)], /^wrong: There is more than one/],
  revoked: [['TXT "v=DKIM1; p="'], /^wrong: Receivers cannot read it/],
  "first-piece-only": [[`TXT "v=DKIM1; k=rsa; p=${own.slice(0, 230)}"`], /^wrong: Receivers cannot read it/],
  "wrong-type": [[`TXT ${inPieces(`v=DKIM1; k=ed25519; p=${own}`)}`], /^wrong: Receivers cannot read it/],
};

const keyOf = (selector: string, parts: Partial<DomainKey> = {}): DomainKey => ({
  ...{ selector, publicKey: own, isSeen: true, until: null },
  ...parts,
});

describe.skipIf(!existsSync(NSD))("a DKIM record", () => {
  const nameServer = ownAddress();
  let stop: () => Promise<void>;

  beforeAll(async () => {
    const zone = Object.entries(cases).flatMap(([name, [records]]) =>
      records.map((record) => `${name}._domainkey ${record}`),
    );
    stop = await startNameServer(nameServer, { [DOMAIN]: zone.join("\n") });
  });
  afterAll(() => stop?.());

  async function check(key: DomainKey, server = nameServer) {
    const records = await checkDns(DOMAIN, [], server, [key]);
    const found = records.find(({ name }) => name === `${key.selector}._domainkey.${DOMAIN}`);
    return { records, said: found?.why === null ? found.state : `${found?.state}: ${found?.why}` };
  }

  test.each(Object.entries(cases))("is judged: %s", async (selector, [, says]) => {
    expect((await check(keyOf(selector))).said).toMatch(says);
  });

  test("of a key that waits, or of a former one, is told apart", async () => {
    expect((await check(keyOf("none", { isSeen: false }))).said).toMatch(
      /^missing: .*once the record is there/,
    );
    expect((await check(keyOf("right", { isSeen: false }))).said).toMatch(/^ok: .*begins to sign/);
    const former = { until: "2026-12-13T12:00:00.000Z" };
    expect((await check(keyOf("right", former))).said).toMatch(/^ok: .*until 2026-12-13.*must stay/);
    expect((await check(keyOf("none", former))).said).toMatch(/^missing: .*until 2026-12-13/);
  });

  test("is given in pieces for the zone, and those make it right", async () => {
    const { records } = await check(keyOf("none"));
    const zone = zoneText(DOMAIN, records)
      .split("\n")
      .filter((line) => line.includes("_domainkey"));
    const mended = ownAddress();
    const end = await startNameServer(mended, { [DOMAIN]: zone.join("\n") });
    expect((await check(keyOf("none"), mended)).said).toBe("ok");
    await end();
  });

  test("that DNS does not tell is unknown, and neither seen nor missing", async () => {
    const silent = ownAddress();
    expect((await check(keyOf("right"), silent)).said).toMatch(/^unknown: /);
    const options = { stop: AbortSignal.timeout(60_000) };
    expect(await isPublished(DOMAIN, keyOf("right"), { ...options, nameServer: silent })).toBeUndefined();
    expect(await isPublished(DOMAIN, keyOf("right"), { ...options, nameServer })).toBe(true);
    expect(await isPublished(DOMAIN, keyOf("another"), { ...options, nameServer })).toBe(false);
  });
});
