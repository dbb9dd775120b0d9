import { getDomain } from "tldts";
import type { HostAddresses, MailHost } from "./host-records.ts";
import type { Lookups } from "./lookups.ts";
import { absent, type DnsRecord, judged, record, unclear, type Wanted } from "./record.ts";
import { evaluateSpf } from "./spf.ts";

/** MX (RFC 5321, section 5): each must name a node, or mail for the domain goes to somebody else. */
export async function mxRecord(
  lookups: Lookups,
  domain: string,
  hosts: readonly MailHost[],
): Promise<DnsRecord> {
  const receivers = hosts.filter((host) => host.receives);
  const own = receivers.map(({ name }) => name);
  // Mailbox nodes come first: MX-only nodes take the mail while these are away.
  const lines = receivers.map(({ name, sends }) => `${sends ? 10 : 20} ${name}.`);
  const wanted = { name: domain, type: "MX", expected: lines.join("\n") };
  return record(
    wanted,
    await lookups.ask(domain, "MX"),
    (records) => {
      const foreign = records.filter((one) => !own.includes(exchangeOf(one)));
      if (foreign.length === 0) return undefined;
      if (foreign.includes("0 .")) return "This record says that the domain receives no mail (RFC 7505).";
      const names = foreign.map(exchangeOf).join(" and ");
      return foreign.length === records.length
        ? `Mail for the domain goes to ${names}, which is no node of this system that receives its mail.`
        : `Some mail for the domain goes to ${names}, which is no node of this system that receives its mail.`;
    },
    "Without an MX record mail for the domain does not come to the nodes.",
  );
}

function exchangeOf(mx: string): string {
  return mx.slice(mx.indexOf(" ") + 1, -1).toLowerCase();
}

/** SPF (RFC 7208), evaluated for each address from which the domain's mail leaves. */
export async function spfRecord(
  lookups: Lookups,
  domain: string,
  hosts: readonly HostAddresses[],
): Promise<DnsRecord> {
  const senders = hosts.filter(({ host }) => host.sends);
  const areAllMx = senders.every(({ host }) => host.receives);
  const means = areAllMx ? ["mx"] : ["mx", ...senders.map(({ host }) => `a:${host.name}`)];
  const wanted = { name: domain, type: "TXT", expected: `v=spf1 ${means.join(" ")} -all` };
  const answer = await lookups.ask(domain, "TXT");
  if (answer.kind !== "found") return record(wanted, answer, () => undefined, WITHOUT_SPF);
  const policies = answer.records.filter((text) => /^v=spf1( |$)/i.test(text));
  if (policies.length === 0) return absent(wanted, WITHOUT_SPF);
  if (policies.length > 1)
    return judged(
      wanted,
      policies,
      "wrong",
      "There is more than one SPF record, so receivers use none. Merge them into one.",
    );
  const addresses = senders.flatMap((sender) => sender.addresses);
  const results = await Promise.all(
    addresses.map(async (address) => ({ address, result: await evaluateSpf(lookups, domain, address) })),
  );
  const refused = results.find(({ result }) => result !== "pass" && result !== "temperror");
  if (refused !== undefined)
    return judged(
      wanted,
      policies,
      "wrong",
      refused.result === "permerror"
        ? "The record cannot be evaluated: an error in it, or more than ten look-ups."
        : `Mail that leaves by ${refused.address} does not pass: the result is ${refused.result}.`,
    );
  const isOpen = results.some(({ result }) => result === "temperror");
  if (isOpen) return judged(wanted, policies, "unknown", "A record that it includes could not be looked up.");
  if (/\s\+?all(\s|$)/i.test(policies[0] ?? ""))
    return judged(wanted, policies, "wrong", "Its +all lets every machine send mail of the domain.");
  return judged(wanted, policies, "ok", answer.remark ?? null);
}

const WITHOUT_SPF = "Receivers cannot tell the domain's mail from forged mail, and large ones refuse it.";

/** DMARC (RFC 7489, section 6.6.3): the domain's own record, or its organisation's. */
export async function dmarcRecord(lookups: Lookups, domain: string): Promise<DnsRecord> {
  const policy = {
    name: `_dmarc.${domain}`,
    type: "TXT",
    expected: `v=DMARC1; p=none; rua=mailto:postmaster@${domain}`,
    version: "v=DMARC1",
    fault: dmarcFault,
    without:
      "Receivers do not know what to do with forged mail of the domain, and large ones demand this record.",
  };
  const own = await policyRecord(lookups, policy);
  const organisation = getDomain(domain);
  if (own.state !== "missing" || organisation === null || organisation === domain) return own;
  const inherited = await policyRecord(lookups, { ...policy, name: `_dmarc.${organisation}` });
  return inherited.state === "missing" ? own : inherited;
}

function dmarcFault(text: string): string | undefined {
  if (/^v=DMARC1\s*;\s*p\s*=\s*(none|quarantine|reject)\s*(;|$)/.test(text)) return undefined;
  return "p must come after v=DMARC1 and be none, quarantine or reject.";
}

/** Records that mail works without: MTA-STS (RFC 8461), TLS-RPT (RFC 8460), SRV (RFC 6186 and RFC 8314). */
export async function optionalRecords(
  lookups: Lookups,
  domain: string,
  hosts: readonly MailHost[],
): Promise<DnsRecord[]> {
  const [first] = hosts.filter((host) => host.sends);
  const services =
    first === undefined ? [] : SERVICES.map((service) => serviceRecord(lookups, domain, service, hosts));
  const policies = [
    {
      name: `_mta-sts.${domain}`,
      expected: "v=STSv1; id=1",
      version: "v=STSv1",
      fault: mtaStsFault,
      without: `With it, and a policy at https://mta-sts.${domain}/.well-known/mta-sts.txt, other servers send to the domain over TLS only.`,
    },
    {
      name: `_smtp._tls.${domain}`,
      expected: `v=TLSRPTv1; rua=mailto:postmaster@${domain}`,
      version: "v=TLSRPTv1",
      fault: tlsReportFault,
      without: "With it other servers report where TLS to the nodes failed.",
    },
  ];
  return await Promise.all([
    ...policies.map((policy) => policyRecord(lookups, { ...policy, type: "TXT", optional: true })),
    ...services,
  ]);
}

function mtaStsFault(text: string): string | undefined {
  if (/^v=STSv1\s*;\s*id\s*=\s*[0-9A-Za-z]{1,32}\s*;?\s*$/.test(text)) return undefined;
  return "id must be 1 to 32 letters and digits.";
}

function tlsReportFault(text: string): string | undefined {
  if (/^v=TLSRPTv1\s*;\s*rua\s*=\s*(mailto|https):/.test(text)) return undefined;
  return "rua must be a mailto: or https: address.";
}

const SERVICES = [
  { label: "_imaps._tcp", port: 993 },
  { label: "_submissions._tcp", port: 465 },
  { label: "_submission._tcp", port: 587 },
] as const;

async function serviceRecord(
  lookups: Lookups,
  domain: string,
  { label, port }: (typeof SERVICES)[number],
  hosts: readonly MailHost[],
): Promise<DnsRecord> {
  const own = hosts.filter((host) => host.sends).map(({ name }) => `${name}.`);
  return record(
    {
      name: `${label}.${domain}`,
      type: "SRV",
      expected: own.map((name) => `0 1 ${port} ${name}`).join("\n"),
      optional: true,
    },
    await lookups.ask(`${label}.${domain}`, "SRV"),
    (records) => {
      const isOwn = records.every((one) => {
        const [, , at, target = ""] = one.split(" ");
        return at === String(port) && own.includes(target.toLowerCase());
      });
      return isOwn ? undefined : "It leads mail programs to another machine or port.";
    },
    "With it mail programs find the node by themselves.",
  );
}

/** A TXT record of which a name has one: two are as wrong as none. */
interface Policy extends Wanted {
  /** How such a record begins; other TXT records at the name do not count. */
  version: string;
  /** The fault in its text; undefined without one. */
  fault(text: string): string | undefined;
  /** The consequence of its absence. */
  without: string;
}

async function policyRecord(lookups: Lookups, policy: Policy): Promise<DnsRecord> {
  const answer = await lookups.ask(policy.name, "TXT");
  if (answer.kind === "absent") return absent(policy, policy.without);
  if (answer.kind !== "found") return unclear(policy, answer);
  const records = answer.records.filter((text) => text.startsWith(policy.version));
  const [only] = records;
  if (only === undefined) return absent(policy, policy.without);
  if (records.length > 1)
    return judged(policy, records, "wrong", "There is more than one such record, so receivers use none.");
  return record(policy, { ...answer, records }, () => policy.fault(only), policy.without);
}
