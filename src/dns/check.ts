import { type DomainKey, dkimRecord } from "./dkim-record.ts";
import { dmarcRecord, mxRecord, optionalRecords, spfRecord } from "./domain-records.ts";
import { hostRecords, type MailHost } from "./host-records.ts";
import { Lookups } from "./lookups.ts";
import type { DnsRecord } from "./record.ts";

/** Hosts whose own records are looked up: those that MX names come first. */
const MOST_HOSTS = 10;

/**
 * Compares DNS with what a domain needs for its mail to work on these hosts. A question that fails makes its record
 * `unknown`; nothing is thrown. It takes 15 s at most.
 *
 * @param nameServer the resolver to ask, as ADDRESS or ADDRESS:PORT; undefined for the machine's own
 * @param keys the DKIM keys with which its nodes sign, or will or did
 */
export async function checkDns(
  domain: string,
  hosts: readonly MailHost[],
  nameServer: string | undefined,
  keys: readonly DomainKey[] = [],
): Promise<DnsRecord[]> {
  const lookups = new Lookups(nameServer);
  try {
    await lookups.findZone(domain);
    const mx = await mxRecord(lookups, domain, hosts);
    const isNamed = ({ name }: MailHost) => mx.found.some((one) => one.endsWith(` ${name}.`));
    const namedFirst = [...hosts].sort((one, other) => Number(isNamed(other)) - Number(isNamed(one)));
    const checked = namedFirst.slice(0, MOST_HOSTS);
    const ofHosts = await Promise.all(checked.map((host) => hostRecords(lookups, host)));
    const addresses = ofHosts.map((one) => one.addresses);
    const [spf, dkim, dmarc, optional] = await Promise.all([
      spfRecord(lookups, domain, addresses),
      Promise.all(keys.map((key) => dkimRecord(lookups, domain, key))),
      dmarcRecord(lookups, domain),
      optionalRecords(lookups, domain, checked),
    ]);
    return [mx, ...ofHosts.flatMap((one) => one.records), spf, ...dkim, dmarc, ...optional];
  } finally {
    lookups.close();
  }
}

/** The lines to paste into the domain's zone: its needed records that are missing or wrong. Empty if there are none. */
export function zoneText(domain: string, records: readonly DnsRecord[]): string {
  return records
    .filter(
      ({ name, type, state, optional }) =>
        isOf(domain, name) &&
        (type === "MX" || type === "TXT") &&
        !optional &&
        (state === "missing" || state === "wrong"),
    )
    .flatMap(({ name, type, expected }) =>
      expected.split("\n").map((content) => `${name}. ${type} ${type === "TXT" ? quoted(content) : content}`),
    )
    .join("\n");
}

/** A text as a zone file has it: in pieces of 255 bytes at most (RFC 1035, section 3.3). */
function quoted(text: string): string {
  return (text.match(/.{1,255}/g) ?? []).map((piece) => JSON.stringify(piece)).join(" ");
}

function isOf(domain: string, name: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}
