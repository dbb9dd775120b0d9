import { domainProblem, isStoredAddress } from "../mail/address.ts";
import { MAILBOX_ID } from "../mail/mailbox.ts";
import { isQuota } from "../mail/quota.ts";
import { isStoredHash } from "../mail/stored-hash.ts";

/** A domain that a node serves. */
export interface DomainRecord {
  domain: string;
}

/** An active mailbox that a node serves. `password` is a hash with its scheme (stored-hash.ts); quota in MiB. */
export interface UserRecord {
  user: string;
  password: string;
  quota_mb: number;
  mailbox: string;
}

/** An active mailbox as an MX-only node serves it: the address alone. */
export interface AddressRecord {
  user: string;
}

export type MailRecord = DomainRecord | UserRecord | AddressRecord;

/** A node's role: `mail` keeps mailboxes; `mx` accepts and relays mail, and never gets a hash. */
export const nodeRoles = ["mail", "mx"] as const;

export type NodeRole = (typeof nodeRoles)[number];

/** A record that is no longer served, in a delta. Absence never means removal. */
export type Removal = { domain: string; removed: true } | { user: string; removed: true };

/**
 * The canonical line of a record, used on the wire and for the digest: JSON with these keys in this order and
 * no spaces. No accepted value contains a character that JSON escapes.
 */
export function canonicalLine(record: MailRecord): string {
  if ("domain" in record) return `{"domain":"${record.domain}"}`;
  if (!("password" in record)) return `{"user":"${record.user}"}`;
  const { user, password, quota_mb, mailbox } = record;
  return `{"user":"${user}","password":"${password}","quota_mb":${quota_mb},"mailbox":"${mailbox}"}`;
}

export function removalLine(removal: Removal): string {
  return "domain" in removal
    ? `{"domain":"${removal.domain}","removed":true}`
    : `{"user":"${removal.user}","removed":true}`;
}

/**
 * Reads one record line and trusts nothing: it must have exactly the fields for a node of this role, each in its
 * stored form. Nodes check every value again, because daemons parse what passes here.
 *
 * @returns undefined when the line is not acceptable
 */
export function parseRecord(line: string, role: NodeRole): MailRecord | undefined {
  const value = parseObject(line);
  if (value === undefined) return undefined;
  const isUser = role === "mx" ? isAddressRecord : isUserRecord;
  const record = isDomainRecord(value) || isUser(value) ? value : undefined;
  if (role === "mx" && "password" in value) return undefined;
  // The digest covers the canonical line, so another spelling of the same record is refused.
  return record !== undefined && canonicalLine(record) === line ? record : undefined;
}

/** Reads one removal line as strictly; undefined when it is not one. */
export function parseRemoval(line: string): Removal | undefined {
  const value = parseObject(line);
  if (value === undefined || (value as Partial<Removal>).removed !== true) return undefined;
  const removal = isDomainRecord(value) || isAddressRecord(value) ? (value as Removal) : undefined;
  return removal !== undefined && removalLine(removal) === line ? removal : undefined;
}

function parseObject(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

function isDomainRecord(value: object): value is DomainRecord {
  const { domain } = value as Partial<DomainRecord>;
  return typeof domain === "string" && domainProblem(domain) === undefined;
}

function isAddressRecord(value: object): value is AddressRecord {
  const { user } = value as Partial<AddressRecord>;
  return typeof user === "string" && isStoredAddress(user);
}

function isUserRecord(value: object): value is UserRecord {
  const { password, quota_mb, mailbox } = value as Partial<UserRecord>;
  return (
    isAddressRecord(value) &&
    typeof password === "string" &&
    isStoredHash(password) &&
    isQuota(quota_mb) &&
    typeof mailbox === "string" &&
    MAILBOX_ID.test(mailbox)
  );
}
