/** A server's answers, made by hand. */
import { hash as digestOf } from "node:crypto";
import { encodeEnd, encodeHeader } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import {
  type AddressRecord,
  type AliasRecord,
  canonicalLine,
  type DomainAliasRecord,
  type DomainRecord,
  type LiveAliasRecord,
  type MailRecord,
  removalLine,
  type UserRecord,
} from "../../src/sync/records.ts";
import type { MailState } from "../support/answer-reader.ts";

export const HISTORY = "0123456789abcdef".repeat(2);

/** A hash that differs from others in one letter. */
export function hash(letter: string): string {
  return `{BLF-CRYPT}$2b$10$${letter.repeat(53)}`;
}

/** The id of an address's first mailbox. */
export function idOf(address: string): string {
  return digestOf("sha256", address).slice(0, 16);
}

/** The home of that mailbox. */
export function homeOf(address: string): string {
  const id = idOf(address);
  return `/var/vmail/${id.slice(0, 2)}/${id}`;
}

export function user(address: string, given: Partial<UserRecord> = {}): UserRecord {
  return { user: address, password: hash("a"), quota_mb: 1024, mailbox: idOf(address), ...given };
}

/** The aliases of a state; none by default. */
export interface Aliases {
  aliases?: readonly (AliasRecord | LiveAliasRecord)[];
  domainAliases?: readonly DomainAliasRecord[];
}

export function stateOf(
  revision: number,
  served: readonly (string | DomainRecord)[],
  users: readonly (UserRecord | AddressRecord)[],
  given: Partial<Pick<MailState, "role" | "history">> & Aliases = {},
): MailState {
  const { aliases = [], domainAliases = [], ...heading } = given;
  const domains = served.map((domain) => (typeof domain === "string" ? { domain } : domain));
  const digest = new StateDigest();
  for (const record of domains) digest.add(record);
  for (const record of [...users, ...aliases, ...domainAliases]) digest.add(record);
  return {
    role: "mail",
    history: HISTORY,
    revision,
    digest: digest.toString(),
    cursor: `cursor-${revision}`,
    ...heading,
    domains: new Map(domains.map((record) => [record.domain, record])),
    users: new Map(users.map((record) => [record.user, record])),
    aliases: new Map(aliases.map((record) => [record.alias, record])),
    domainAliases: new Map(domainAliases.map((record) => [record.domain_alias, record])),
  };
}

/** The lines of a whole state. */
export function linesOf(state: MailState): string[] {
  const { role, history, revision, digest, cursor, domains, users, aliases, domainAliases } = state;
  const kinds = [domains, domainAliases, users, aliases];
  const records: MailRecord[] = kinds.flatMap((kind) => [...kind.values()]);
  const counts = countsOf(state);
  const header = encodeHeader({ kind: "snapshot", role, history, revision, digest, counts, cursor });
  return [header, ...records.map(canonicalLine), encodeEnd(records.length)];
}

function countsOf({ domains, users, aliases, domainAliases }: MailState) {
  return {
    domains: domains.size,
    users: users.size,
    aliases: aliases.size,
    domain_aliases: domainAliases.size,
  };
}

/** The lines of the delta between two states. */
export function deltaOf(from: MailState, to: MailState): string[] {
  const { role, history, revision, digest, cursor } = to;
  const counts = countsOf(to);
  const lines: string[] = [];
  const set = (old: ReadonlyMap<string, MailRecord>, now: ReadonlyMap<string, MailRecord>): void => {
    for (const [key, record] of now) {
      const before = old.get(key);
      if (before === undefined || canonicalLine(before) !== canonicalLine(record))
        lines.push(canonicalLine(record));
    }
  };
  set(from.domains, to.domains);
  for (const domain of from.domains.keys())
    if (!to.domains.has(domain)) lines.push(removalLine({ domain, removed: true }));
  set(from.users, to.users);
  for (const user of from.users.keys())
    if (!to.users.has(user)) lines.push(removalLine({ user, removed: true }));
  set(from.domainAliases, to.domainAliases);
  for (const domain_alias of from.domainAliases.keys())
    if (!to.domainAliases.has(domain_alias)) lines.push(removalLine({ domain_alias, removed: true }));
  set(from.aliases, to.aliases);
  for (const alias of from.aliases.keys())
    if (!to.aliases.has(alias)) lines.push(removalLine({ alias, removed: true }));
  const header = encodeHeader({ kind: "delta", role, history, revision, digest, counts, cursor });
  return [header, ...lines, encodeEnd(lines.length)];
}
