import { hash } from "node:crypto";
import fc from "fast-check";
import { type AppPasswordHashes, appPasswordSelector } from "../../src/mail/app-password.ts";
import type { SendingLimit } from "../../src/mail/sending-limit.ts";
import { encodeEnd, encodeHeader } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import {
  canonicalLine,
  kindOf,
  type MailRecord,
  type RecordKind,
  type UserRecord,
} from "../../src/sync/records.ts";
import { fakeHash } from "./store.ts";

const name = fc.stringMatching(/^[a-z0-9]{1,10}$/);
export const domainName = name.map((label) => `${label}.nl`);

/** The app passwords of a record, from any texts. */
export function appPasswords(texts: readonly string[]): AppPasswordHashes {
  const hashes = texts.map((text) => {
    const salted = Buffer.concat([Buffer.from(hash("sha512", text), "hex"), Buffer.from("salt")]);
    return [appPasswordSelector(text), `{SSHA512}${salted.toString("base64")}`] as const;
  });
  return Object.fromEntries(hashes.sort(([one], [other]) => (one < other ? -1 : 1)));
}

const sendingLimit: fc.Arbitrary<SendingLimit> = fc
  .record(
    { hour: fc.nat(1_000_000), day: fc.nat(1_000_000), first_time: fc.nat(1_000_000) },
    { requiredKeys: [] },
  )
  .filter((limit) => Object.keys(limit).length > 0);

export const userRecord: fc.Arbitrary<UserRecord> = fc.record(
  {
    user: fc.tuple(name, domainName).map(([local, domain]) => `${local}@${domain}`),
    password: fc.string().map(fakeHash),
    quota_mb: fc.integer({ min: 1, max: 1_048_576 }),
    mailbox: fc.stringMatching(/^[0-9a-f]{16}$/),
    app_passwords: fc.uniqueArray(name, { minLength: 1, maxLength: 20 }).map(appPasswords),
    sending_limit: sendingLimit,
  },
  { requiredKeys: ["user", "password", "quota_mb", "mailbox"] },
);

const address = fc.tuple(name, domainName).map(([local, domain]) => `${local}@${domain}`);

export const mailRecord: fc.Arbitrary<MailRecord> = fc.oneof(
  fc.record({ domain: domainName, sending_limit: sendingLimit }, { requiredKeys: ["domain"] }),
  fc.record({ domain_alias: domainName, of: domainName }),
  userRecord,
  fc.record({
    alias: fc.oneof(
      address,
      domainName.map((domain) => `@${domain}`),
      fc.constant("@"),
    ),
    targets: fc.uniqueArray(address, { maxLength: 5 }).map((targets) => targets.sort()),
    send_as: fc.boolean(),
  }),
);

export const HISTORY = "0123456789abcdef".repeat(2);

/** Returns a complete answer with these records, line by line, as the server sends it. */
export function answerOf(records: readonly MailRecord[], revision = 7): string[] {
  const digest = new StateDigest();
  for (const record of records) digest.add(record);
  const number = (kind: RecordKind) => records.filter((record) => kindOf(record) === kind).length;
  return [
    encodeHeader({
      kind: "snapshot",
      role: "mail",
      cursor: "cursor",
      history: HISTORY,
      revision,
      digest: digest.toString(),
      counts: {
        domains: number("domain"),
        users: number("user"),
        aliases: number("alias"),
        domain_aliases: number("domain_alias"),
      },
    }),
    ...records.map(canonicalLine),
    encodeEnd(records.length),
  ];
}

/** A small state: three records, which are two domains and a user. */
export const SMALL: readonly MailRecord[] = [
  { domain: "example.nl" },
  { domain: "xn--bcher-kva.example" },
  { user: "jan@example.nl", password: fakeHash("jan"), quota_mb: 1024, mailbox: "00112233445566ff" },
  { user: "piet@example.nl", password: fakeHash("piet"), quota_mb: 5, mailbox: "ff66554433221100" },
];
