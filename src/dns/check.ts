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
 */
export async function checkDns(
  domain: string,
  hosts: readonly MailHost[],
  nameServer: string | undefined,
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
    const [spf, dmarc, optional] = await Promise.all([
      spfRecord(lookups, domain, addresses),
      dmarcRecord(lookups, domain),
      optionalRecords(lookups, domain, checked),
    ]);
    return [mx, ...ofHosts.flatMap((one) => one.records), spf, dmarc, ...optional];
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
      expected
        .split("\n")
        .map((content) => `${name}. ${type} ${type === "TXT" ? JSON.stringify(content) : content}`),
    )
    .join("\n");
}

function isOf(domain: string, name: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}
