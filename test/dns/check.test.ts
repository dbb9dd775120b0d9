import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { checkDns, zoneText } from "../../src/dns/check.ts";
import type { DnsRecord } from "../../src/dns/record.ts";
import { NSD, ownAddress, startNameServer } from "../support/name-server.ts";

/** Records of a domain that are right, as in its zone file. */
const right = {
  mx: "@ MX 10 mail",
  spf: '@ TXT "v=spf1 mx -all"',
  other: '@ TXT "some-verification=1"',
  dmarc: '_dmarc TXT "v=DMARC1; p=none; rua=mailto:postmaster@example.nl"',
  address: "mail A 192.0.2.25",
};

type Records = Readonly<Record<string, string>>;

/** A fault: the records that differ from the right ones, and the record of which something is said. */
const faults: ReadonlyArray<
  [fault: string, records: Record<string, string>, type: string, name: string, says: RegExp]
> = [
  ["no MX", { mx: "" }, "MX", "@", /^missing: .*does not come to the nodes/],
  [
    "MX at the former provider",
    { mx: "@ MX 10 mx.other.example." },
    "MX",
    "@",
    /^wrong: .*goes to mx.other.example,/,
  ],
  [
    "MX at the former provider as well",
    { mx: "@ MX 10 mail\n@ MX 20 mx.other.example." },
    "MX",
    "@",
    /^wrong: Some mail.*mx.other.example/,
  ],
  ["a null MX", { mx: "@ MX 0 ." }, "MX", "@", /^wrong: .*receives no mail/],
  ["no address of the node", { address: "" }, "A, AAAA", "mail", /^missing: .*cannot find this node/],
  ["a CNAME for the node", { address: "mail CNAME mx.other.example." }, "A, AAAA", "mail", /^wrong: .*CNAME/],
  ["no SPF", { spf: "" }, "TXT", "@", /^missing: .*forged/],
  ["two SPF records", { second: '@ TXT "v=spf1 a -all"' }, "TXT", "@", /^wrong: .*more than one SPF record/],
  [
    "SPF without the node",
    { spf: '@ TXT "v=spf1 ip4:192.0.2.26 -all"' },
    "TXT",
    "@",
    /^wrong: .*192.0.2.25.* fail/,
  ],
  ["SPF with a typo", { spf: '@ TXT "v=spf1 mxx -all"' }, "TXT", "@", /^wrong: .*cannot be evaluated/],
  ["SPF for everybody", { spf: '@ TXT "v=spf1 +all"' }, "TXT", "@", /^wrong: .*every machine/],
  ["no DMARC", { dmarc: "" }, "TXT", "_dmarc", /^missing: .*forged/],
  [
    "DMARC without a policy",
    { dmarc: '_dmarc TXT "v=DMARC1; rua=mailto:a@b.nl"' },
    "TXT",
    "_dmarc",
    /^wrong: p must/,
  ],
  [
    "two DMARC records",
    { second: '_dmarc TXT "v=DMARC1; p=reject"' },
    "TXT",
    "_dmarc",
    /^wrong: There is more than one/,
  ],
  [
    "CAA of another CA",
    { caa: '@ CAA 0 issue "ca.other.example"' },
    "CAA",
    "@",
    /^wrong: Only ca.other.example/,
  ],
  ["CAA of no CA", { caa: 'mail CAA 0 issue ";"' }, "CAA", "mail", /^wrong: No CA/],
  [
    "a wrong MTA-STS id",
    { sts: '_mta-sts TXT "v=STSv1; id=2026-11-29"' },
    "TXT",
    "_mta-sts",
    /^wrong: id must/,
  ],
  [
    "SRV to another machine",
    { srv: "_imaps._tcp SRV 0 1 993 imap.other.example." },
    "SRV",
    "_imaps._tcp",
    /^wrong: .*another machine/,
  ],
];

const others: ReadonlyArray<[says: string, records: Records]> = [
  ["all that mail needs", right],
  [
    "optional records that are right",
    {
      ...right,
      sts: '_mta-sts TXT "v=STSv1; id=20261129"',
      tls: '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:postmaster@example.nl"',
      srv: "_imaps._tcp SRV 0 1 993 mail",
      caa: '@ CAA 0 issue "letsencrypt.org"',
    },
  ],
  ["nothing but the node's address", { address: right.address }],
  [
    "a long SPF in pieces",
    { ...right, spf: `@ TXT "v=spf1 ${"ip4:192.0.2.26 ".repeat(14)}" "ip4:192.0.2.25 -all"` },
  ],
];

const zones = new Map<string, Records>([
  ...faults.map(([fault, records]) => [fault, { ...right, ...records }] as const),
  ...others,
]);

/** The domain with this zone. */
function domainOf(zone: string): string {
  return `d${[...zones.keys()].indexOf(zone)}.example`;
}

function hostOf(domain: string) {
  return { name: `mail.${domain}`, receives: true, sends: true };
}

/** One record's state, as a person reads it. */
function said(records: readonly DnsRecord[], type: string, name: string): string {
  const found = records.find((record) => record.type === type && record.name === name);
  if (found === undefined) return "nothing";
  return found.why === null ? found.state : `${found.state}: ${found.why}`;
}

function delegation(...servers: readonly string[]): string {
  return servers.map((address, index) => `@ NS ns${index}\nns${index} A ${address}\n`).join("");
}

function lines(records: Records): string {
  return Object.values(records).join("\n");
}

/** Starts a name server that stops with the test. @returns its address */
async function nameServer(zones: Records, address = ownAddress()): Promise<string> {
  onTestFinished(await startNameServer(address, zones));
  return address;
}

describe.skipIf(!existsSync(NSD))("a domain's DNS", () => {
  const [resolver, own] = [ownAddress(), ownAddress()];
  const stops: Array<() => Promise<void>> = [];

  beforeAll(async () => {
    const named = [...zones].map(([zone, records]) => [domainOf(zone), records] as const);
    const contents = named.map(([domain, records]) => [domain, delegation(own) + lines(records)]);
    stops.push(await startNameServer(own, Object.fromEntries(contents)));
    // The resolver knows of each domain only where its name server is: its cache is old.
    const delegations = named.map(([domain]) => [domain, delegation(own)]);
    const pointer = `25.2.0.192.in-addr.arpa. ${named.map(([domain]) => `PTR mail.${domain}.`).join("\n ")}`;
    stops.push(await startNameServer(resolver, { ".": pointer, ...Object.fromEntries(delegations) }));
  });
  afterAll(() => Promise.all(stops.map((stop) => stop())));

  const check = (zone: string) => {
    const domain = domainOf(zone);
    return checkDns(domain, [hostOf(domain)], resolver);
  };

  test("with all that mail needs is ok", async () => {
    const records = await check("all that mail needs");
    const needed = records.filter(({ optional }) => !optional);
    expect(needed.map(({ type, state, why }) => `${type} ${state} ${why}`)).toEqual([
      "MX ok null",
      "A, AAAA ok null",
      "PTR ok null",
      "TXT ok null",
      "TXT ok null",
    ]);
    expect(zoneText(domainOf("all that mail needs"), records)).toBe("");
  });

  test.each(faults)("with %s", async (fault, _, type, name, says) => {
    const domain = domainOf(fault);
    expect(said(await check(fault), type, name === "@" ? domain : `${name}.${domain}`)).toMatch(says);
  });

  test("with optional records that are right", async () => {
    const zone = "optional records that are right";
    const records = await check(zone);
    for (const [type, name] of [
      ["TXT", "_mta-sts."],
      ["TXT", "_smtp._tls."],
      ["SRV", "_imaps._tcp."],
      ["CAA", ""],
    ] as const)
      expect(said(records, type, `${name}${domainOf(zone)}`), name).toBe("ok");
  });

  test("with a long text that comes in pieces", async () => {
    const zone = "a long SPF in pieces";
    expect(said(await check(zone), "TXT", domainOf(zone))).toBe("ok");
  });

  test("gives lines for the zone that make it right", async () => {
    const zone = "nothing but the node's address";
    const domain = domainOf(zone);
    const given = zoneText(domain, await check(zone));
    expect(given.split("\n")).toHaveLength(3);
    const mended = await nameServer({ [domain]: `${right.address}\n${given}` });
    const records = await checkDns(domain, [hostOf(domain)], mended);
    const stillWrong = records.filter(
      ({ type, optional, state }) => type !== "PTR" && !optional && state !== "ok",
    );
    expect(stillWrong).toEqual([]);
  });

  test("with an address whose name the name server refuses to tell", async () => {
    const domain = "silent.example";
    const server = await nameServer({ [domain]: lines(right) });
    expect(said(await checkDns(domain, [hostOf(domain)], server), "PTR", "192.0.2.25")).toMatch(/^unknown/);
  });

  test("with an address that has another name, or none", async () => {
    const domain = "other.example";
    const pointer = "25.2.0.192.in-addr.arpa. PTR host-25.provider.example.";
    for (const [rest, says] of [
      [pointer, /^wrong: .*another name/],
      ["", /^missing: .*without a name/],
    ] as const) {
      const server = await nameServer({ ".": rest, [domain]: lines(right) });
      expect(said(await checkDns(domain, [hostOf(domain)], server), "PTR", "192.0.2.25")).toMatch(says);
    }
  });
});

describe.skipIf(!existsSync(NSD))("name servers", () => {
  const domain = "example.nl";
  const host = hostOf(domain);

  test("that differ are told apart", async () => {
    const [first, second] = [ownAddress(), ownAddress()];
    const records = delegation(first, second) + lines(right);
    await nameServer({ [domain]: records }, first);
    await nameServer({ [domain]: records.replace("MX 10 mail", "MX 10 old") }, second);
    const resolver = await nameServer({ [domain]: delegation(first, second) });
    const found = await checkDns(domain, [host], resolver);
    expect(said(found, "MX", domain)).toMatch(
      /^wrong: The name servers differ: ns[01].example.nl has 10 (mail|old).example.nl.*, and ns[01]/,
    );
    expect(said(found, "TXT", domain)).toBe("ok");
  });

  test("of which one is silent: what the other has is ok, what it lacks is unknown", async () => {
    const [first, silent] = [ownAddress(), ownAddress()];
    const { mx, address, spf } = right;
    await nameServer({ [domain]: delegation(first, silent) + lines({ mx, address, spf }) }, first);
    const resolver = await nameServer({ [domain]: delegation(first, silent) });
    const found = await checkDns(domain, [host], resolver);
    expect(said(found, "MX", domain)).toBe("ok: ns1.example.nl did not answer.");
    expect(said(found, "TXT", `_dmarc.${domain}`)).toBe("unknown: ns1.example.nl did not answer.");
  });

  test("that are all silent make every record unknown, never missing", async () => {
    const found = await checkDns(domain, [host], ownAddress());
    expect(new Set(found.map(({ state }) => state))).toEqual(new Set(["unknown"]));
    expect(zoneText(domain, found)).toBe("");
  });

  test("do not follow a CNAME out of their zone, so the resolver is asked", async () => {
    const own = ownAddress();
    const records = { ...right, dmarc: "_dmarc CNAME _dmarc.hosted.example." };
    await nameServer({ [domain]: delegation(own) + lines(records) }, own);
    const followed = '_dmarc TXT "v=DMARC1; p=reject"';
    const resolver = await nameServer({ [domain]: delegation(own) + followed });
    expect(said(await checkDns(domain, [host], resolver), "TXT", `_dmarc.${domain}`)).toBe("ok");
  });
});
