import { domainProblem, isStoredAddress } from "../mail/address.ts";
import { MAILBOX_ID } from "../mail/mailbox.ts";
import { STORED_HASH } from "../mail/password.ts";
import { isQuota } from "../mail/quota.ts";

/** A domain that a node serves. */
export interface DomainRecord {
  domain: string;
}

/** An active mailbox that a node serves. `password` is a bcrypt hash with its scheme; quota in MiB. */
export interface UserRecord {
  user: string;
  password: string;
  quota_mb: number;
  mailbox: string;
}

export type MailRecord = DomainRecord | UserRecord;

/**
 * The one line that stands for a record: on the wire, and under the digest. JSON with these keys in this
 * order and no spaces; no accepted value contains a character that JSON escapes.
 */
export function canonicalLine(record: MailRecord): string {
  if ("domain" in record) return `{"domain":"${record.domain}"}`;
  const { user, password, quota_mb, mailbox } = record;
  return `{"user":"${user}","password":"${password}","quota_mb":${quota_mb},"mailbox":"${mailbox}"}`;
}

/**
 * Reads one record line, trusting nothing: exactly the known fields, each in its stored form. A node
 * checks every value again, because what passes here is written into files that daemons parse.
 *
 * @returns undefined when the line is no acceptable record
 */
export function parseRecord(line: string): MailRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const record = isDomainRecord(value) || isUserRecord(value) ? value : undefined;
  // The canonical line is what the digest covers: another spelling of the same record is another record.
  return record !== undefined && canonicalLine(record) === line ? record : undefined;
}

function isDomainRecord(value: object): value is DomainRecord {
  const { domain } = value as Partial<DomainRecord>;
  return typeof domain === "string" && domainProblem(domain) === undefined;
}

function isUserRecord(value: object): value is UserRecord {
  const { user, password, quota_mb, mailbox } = value as Partial<UserRecord>;
  return (
    typeof user === "string" &&
    isStoredAddress(user) &&
    typeof password === "string" &&
    STORED_HASH.test(password) &&
    isQuota(quota_mb) &&
    typeof mailbox === "string" &&
    MAILBOX_ID.test(mailbox)
  );
}
