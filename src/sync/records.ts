import { domainProblem, isStoredAddress } from "../mail/address.ts";
import { type AppPasswordHashes, areAppPasswordHashes } from "../mail/app-password.ts";
import { MAILBOX_ID } from "../mail/mailbox.ts";
import { isQuota } from "../mail/quota.ts";
import { isSendingLimit, type SendingLimit, sendingLimitText } from "../mail/sending-limit.ts";
import { isStoredHash } from "../mail/stored-hash.ts";

/** A domain that a node serves. `sending_limit` is there if its mailboxes have one of their own. */
export interface DomainRecord {
  domain: string;
  sending_limit?: SendingLimit | undefined;
}

/**
 * An active mailbox that a node serves. `password` is a hash with its scheme (stored-hash.ts); quota in MiB. `app_passwords`
 * and `sending_limit` are there if the mailbox has any.
 */
export interface UserRecord {
  user: string;
  password: string;
  quota_mb: number;
  mailbox: string;
  app_passwords?: AppPasswordHashes | undefined;
  sending_limit?: SendingLimit | undefined;
}

/** An active mailbox as an MX-only node serves it: the address alone. */
export interface AddressRecord {
  user: string;
}

/**
 * An alias: `info@example.nl`, `@example.nl` for every address of a domain that is nothing else, or `@` for postmaster@ and
 * abuse@ of every domain where they are nothing else. `targets` are mailboxes and outside addresses, sorted; none if the
 * alias leads nowhere, and its mail is refused. With `send_as`, the mailboxes among them may send as the alias.
 */
export interface AliasRecord {
  alias: string;
  targets: readonly string[];
  send_as: boolean;
}

/** An alias as an MX-only node serves it: the address, and whether it leads anywhere. */
export interface LiveAliasRecord {
  alias: string;
  live: boolean;
}

/** A domain whose addresses are those of another one. */
export interface DomainAliasRecord {
  domain_alias: string;
  of: string;
}

export type MailRecord =
  | DomainRecord
  | UserRecord
  | AddressRecord
  | AliasRecord
  | LiveAliasRecord
  | DomainAliasRecord;

/** The most final targets of one alias. */
export const MOST_TARGETS = 1000;

/** The alias for postmaster@ and abuse@ of every domain. */
export const EVERYWHERE = "@";

/** A node's role: `mail` keeps mailboxes; `mx` accepts and relays mail, and never gets a hash. */
export const nodeRoles = ["mail", "mx"] as const;

export type NodeRole = (typeof nodeRoles)[number];

/** A record that is no longer served, in a delta. Absence never means removal. */
export type Removal = { [Key in RecordKind]: { [key in Key]: string } & { removed: true } }[RecordKind];

/** The kinds of records: the name of the field that identifies one. */
export const recordKinds = ["domain", "domain_alias", "user", "alias"] as const;

export type RecordKind = (typeof recordKinds)[number];

export function kindOf(record: MailRecord | Removal): RecordKind {
  const kind = recordKinds.find((field) => field in record);
  if (kind === undefined) throw new RangeError("a record is of some kind");
  return kind;
}

/** The text that identifies a record within its kind. */
export function keyOf(record: MailRecord | Removal): string {
  return (record as unknown as Record<RecordKind, string>)[kindOf(record)];
}

/**
 * The canonical line of a record, used on the wire and for the digest: JSON with these keys in this order and
 * no spaces. No accepted value contains a character that JSON escapes.
 */
export function canonicalLine(record: MailRecord): string {
  if ("domain" in record) return `{"domain":"${record.domain}"${limitField(record)}}`;
  if ("domain_alias" in record) return `{"domain_alias":"${record.domain_alias}","of":"${record.of}"}`;
  if ("live" in record) return `{"alias":"${record.alias}","live":${record.live}}`;
  if ("alias" in record) {
    const { alias, targets, send_as } = record;
    return `{"alias":"${alias}","targets":${JSON.stringify(targets)},"send_as":${send_as}}`;
  }
  if (!("password" in record)) return `{"user":"${record.user}"}`;
  const { user, password, quota_mb, mailbox, app_passwords } = record;
  const further = app_passwords === undefined ? "" : `,"app_passwords":${JSON.stringify(app_passwords)}`;
  return `{"user":"${user}","password":"${password}","quota_mb":${quota_mb},"mailbox":"${mailbox}"${further}${limitField(record)}}`;
}

function limitField({ sending_limit }: DomainRecord | UserRecord): string {
  return sending_limit === undefined ? "" : `,"sending_limit":${sendingLimitText(sending_limit)}`;
}

export function removalLine(removal: Removal): string {
  return `{"${kindOf(removal)}":"${keyOf(removal)}","removed":true}`;
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
  const isOfRole = role === "mx" ? isMxRecord : isFullRecord;
  const record = isDomainAliasRecord(value) || isOfRole(value) ? value : undefined;
  // The digest covers the canonical line, so another spelling of the same record is refused.
  return record !== undefined && canonicalLine(record) === line ? record : undefined;
}

/** Reads one removal line as strictly; undefined when it is not one. */
export function parseRemoval(line: string): Removal | undefined {
  const value = parseObject(line);
  if (value === undefined || (value as Partial<Removal>).removed !== true) return undefined;
  const isKey = [hasDomain, isAddressRecord, hasAlias, hasDomainAlias].some((is) => is(value));
  const removal = isKey ? (value as Removal) : undefined;
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

function hasDomain(value: object): value is { domain: string } {
  const { domain } = value as Partial<DomainRecord>;
  return typeof domain === "string" && domainProblem(domain) === undefined;
}

function isDomainRecord(value: object): value is DomainRecord {
  return hasDomain(value) && hasNoWrongLimit(value);
}

function hasNoWrongLimit(value: object): boolean {
  const { sending_limit } = value as { sending_limit?: unknown };
  return sending_limit === undefined || isSendingLimit(sending_limit);
}

function isMxRecord(value: object): value is DomainRecord | AddressRecord | LiveAliasRecord {
  if ("password" in value || "targets" in value || "sending_limit" in value) return false;
  if (hasDomain(value) || isAddressRecord(value)) return true;
  return hasAlias(value) && "live" in value && typeof value.live === "boolean";
}

function isFullRecord(value: object): value is DomainRecord | UserRecord | AliasRecord {
  return !("live" in value) && (isDomainRecord(value) || isUserRecord(value) || isAliasRecord(value));
}

function hasAlias(value: object): value is { alias: string } {
  const { alias } = value as Partial<AliasRecord>;
  if (typeof alias !== "string") return false;
  if (alias.startsWith("@")) return alias === EVERYWHERE || domainProblem(alias.slice(1)) === undefined;
  return isStoredAddress(alias);
}

function isAliasRecord(value: object): value is AliasRecord {
  const { targets, send_as } = value as Partial<AliasRecord>;
  return (
    hasAlias(value) &&
    typeof send_as === "boolean" &&
    Array.isArray(targets) &&
    targets.length <= MOST_TARGETS &&
    targets.every(
      (target, index) =>
        typeof target === "string" && isStoredAddress(target) && (index === 0 || targets[index - 1] < target),
    )
  );
}

function hasDomainAlias(value: object): value is { domain_alias: string } {
  const { domain_alias } = value as Partial<DomainAliasRecord>;
  return typeof domain_alias === "string" && domainProblem(domain_alias) === undefined;
}

function isDomainAliasRecord(value: object): value is DomainAliasRecord {
  const { of } = value as Partial<DomainAliasRecord>;
  return hasDomainAlias(value) && typeof of === "string" && domainProblem(of) === undefined;
}

function isAddressRecord(value: object): value is AddressRecord {
  const { user } = value as Partial<AddressRecord>;
  return typeof user === "string" && isStoredAddress(user);
}

function isUserRecord(value: object): value is UserRecord {
  const { password, quota_mb, mailbox, app_passwords } = value as Partial<UserRecord>;
  return (
    isAddressRecord(value) &&
    typeof password === "string" &&
    isStoredHash(password) &&
    isQuota(quota_mb) &&
    typeof mailbox === "string" &&
    MAILBOX_ID.test(mailbox) &&
    (app_passwords === undefined || areAppPasswordHashes(app_passwords)) &&
    hasNoWrongLimit(value)
  );
}
