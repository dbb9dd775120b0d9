import type { Answer, Lookups } from "./lookups.ts";
import { absent, type DnsRecord, judged, record, unclear } from "./record.ts";

/** A node as other mail servers see it. */
export interface MailHost {
  /** Postfix's myhostname, as the node reported it. */
  name: string;
  /** Mail from outside comes to it: the domain's MX records should name it. */
  receives: boolean;
  /** Owners log in and send there. */
  sends: boolean;
}

/** The addresses of a host as far as DNS says them. */
export interface HostAddresses {
  host: MailHost;
  addresses: readonly string[];
}

/** The records of a host's name: an address, each address's name back (RFC 1912, section 2.1), and a CA that may sign for it. */
export async function hostRecords(
  lookups: Lookups,
  host: MailHost,
): Promise<{ records: DnsRecord[]; addresses: HostAddresses }> {
  const [four, six, alias, caa] = await Promise.all([
    lookups.ask(host.name, "A"),
    lookups.ask(host.name, "AAAA"),
    lookups.ask(host.name, "CNAME"),
    certificateRecord(lookups, host.name),
  ]);
  const addresses = [four, six].flatMap((answer) => (answer.kind === "found" ? answer.records : []));
  const pointers = await Promise.all(addresses.map((address) => pointerRecord(lookups, host.name, address)));
  return {
    records: [addressRecord(host.name, [four, six], alias), ...pointers, ...caa],
    addresses: { host, addresses },
  };
}

function addressRecord(name: string, answers: readonly [Answer, Answer], alias: Answer): DnsRecord {
  const wanted = { name, type: "A, AAAA", expected: "the node's public address" };
  if (alias.kind === "found")
    return judged(
      wanted,
      alias.records,
      "wrong",
      "This name is a CNAME, and MX records may not name one (RFC 2181, 10.3).",
    );
  const found = answers.flatMap((answer) => (answer.kind === "found" ? answer.records : []));
  if (found.length > 0) return judged(wanted, found, "ok");
  const failed = answers.find((answer) => answer.kind === "failed" || answer.kind === "unequal");
  if (failed !== undefined) return unclear(wanted, failed);
  return absent(wanted, "Other mail servers cannot find this node.");
}

async function pointerRecord(lookups: Lookups, host: string, address: string): Promise<DnsRecord> {
  return record(
    { name: address, type: "PTR", expected: `${host}.` },
    await lookups.ask(address, "PTR"),
    (names) => {
      if (names.some((name) => name.toLowerCase() === `${host}.`)) return undefined;
      return "This address has another name. Many receivers refuse mail from it; the provider of the address sets its name.";
    },
    "Many receivers refuse mail from an address without a name; the provider of the address sets it.",
  );
}

/** CAA records are looked up from the name upwards (RFC 8659, section 3); without any, each CA may sign. */
async function certificateRecord(lookups: Lookups, host: string): Promise<DnsRecord[]> {
  for (let name = host; name.includes("."); name = name.slice(name.indexOf(".") + 1)) {
    const answer = await lookups.ask(name, "CAA");
    if (answer.kind === "absent") continue;
    const wanted = { name, type: "CAA", expected: '0 issue "letsencrypt.org", or none' };
    return [
      record(
        wanted,
        answer,
        (properties) => {
          const issuers = properties.flatMap(
            (property) => /^\d+ issue "([^";]*)/.exec(property)?.[1]?.trim() ?? [],
          );
          if (issuers.length === 0 || issuers.includes("letsencrypt.org")) return undefined;
          return issuers.every((issuer) => issuer === "")
            ? `No CA may make a certificate for ${host}.`
            : `Only ${issuers.filter(Boolean).join(" and ")} may make a certificate for ${host}: Let's Encrypt, which certbot asks, may not.`;
        },
        "",
      ),
    ];
  }
  return [];
}
