import { createPublicKey } from "node:crypto";
import { getPublicKey } from "mailauth/lib/tools.js";
import { type Answer, Lookups } from "./lookups.ts";
import { absent, type DnsRecord, judged, record } from "./record.ts";

/** A key of the domain's nodes. */
export interface DomainKey {
  selector: string;
  /** SubjectPublicKeyInfo in base64. */
  publicKey: string;
  /** The node signs with it, or has done so. */
  isSeen: boolean;
  /** The time until which mail of a former key may be on its way (RFC 3339); null for a present key. */
  until: string | null;
}

/** RFC 6376, section 3.3.3: verifiers need not accept shorter keys. */
const LEAST_BITS = 1024;

/** The DKIM record (RFC 6376, section 3.6) of one key. */
export async function dkimRecord(lookups: Lookups, domain: string, key: DomainKey): Promise<DnsRecord> {
  const { publicKey, until, isSeen } = key;
  const name = `${key.selector}._domainkey.${domain}`;
  const wanted = { name, type: "TXT", expected: `v=DKIM1; k=rsa; p=${publicKey}` };
  const answer = await lookups.ask(name, "TXT");
  const fault = answer.kind === "found" ? await faultOf(answer.records, name, publicKey) : undefined;
  if (until !== null) {
    const day = until.slice(0, 10);
    const why = `A node signed with this key before: its mail may be on the way until ${day}. The record must stay until then.`;
    return judgedOf(wanted, answer, fault, { without: why, ok: why });
  }
  return judgedOf(wanted, answer, fault, {
    without: isSeen
      ? "A node signs with this key, and receivers cannot verify its mail without the record."
      : "A node has made this key, and signs mail of the domain once the record is there.",
    ok: isSeen ? null : "The node begins to sign within an hour.",
  });
}

function judgedOf(
  wanted: Parameters<typeof record>[0],
  answer: Answer,
  fault: string | undefined,
  { without, ok }: { without: string; ok: string | null },
): DnsRecord {
  if (answer.kind === "absent") return absent(wanted, without);
  const found = record(wanted, answer, () => fault, without);
  return found.state === "ok" && found.why === null ? judged(wanted, found.found, "ok", ok) : found;
}

async function faultOf(
  records: readonly string[],
  name: string,
  publicKey: string,
): Promise<string | undefined> {
  if (records.length > 1)
    return "There is more than one TXT record of this name, so receivers may read the wrong one.";
  const found = await readKey(records, name);
  if (found === undefined) return "Receivers cannot read it: a part is missing, or there is an error in it.";
  return found === publicKey ? undefined : "It has another key, so receivers cannot verify the node's mail.";
}

async function readKey(records: readonly string[], name: string): Promise<string | undefined> {
  try {
    const { publicKey } = await getPublicKey("DKIM", name, LEAST_BITS, async () => [[...records]]);
    return createPublicKey(publicKey).export({ type: "spki", format: "der" }).toString("base64");
  } catch {
    return undefined;
  }
}

/** Whether DNS has this key's record; undefined if DNS did not say, or after `stop`. It takes 15 s at most. */
export async function isPublished(
  domain: string,
  { selector, publicKey }: Pick<DomainKey, "selector" | "publicKey">,
  { nameServer, stop }: { nameServer?: string | undefined; stop: AbortSignal },
): Promise<boolean | undefined> {
  const lookups = new Lookups(nameServer);
  const close = () => lookups.close();
  stop.addEventListener("abort", close);
  try {
    await lookups.findZone(domain);
    const { state } = await dkimRecord(lookups, domain, { selector, publicKey, isSeen: false, until: null });
    return state === "unknown" ? undefined : state === "ok";
  } finally {
    stop.removeEventListener("abort", close);
    close();
  }
}
