/** A server's answers, made by hand. */
import { hash as digestOf } from "node:crypto";
import { encodeEnd, encodeHeader, type MailState } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import {
  type AddressRecord,
  canonicalLine,
  type MailRecord,
  removalLine,
  type UserRecord,
} from "../../src/sync/records.ts";

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

export function stateOf(
  revision: number,
  domains: readonly string[],
  users: readonly (UserRecord | AddressRecord)[],
  given: Partial<Pick<MailState, "role" | "history">> = {},
): MailState {
  const digest = new StateDigest();
  for (const domain of domains) digest.add({ domain });
  for (const record of users) digest.add(record);
  return {
    role: "mail",
    history: HISTORY,
    revision,
    digest: digest.toString(),
    cursor: `cursor-${revision}`,
    ...given,
    domains: new Map(domains.map((domain) => [domain, { domain }])),
    users: new Map(users.map((record) => [record.user, record])),
  };
}

/** The lines of a whole state. */
export function linesOf(state: MailState): string[] {
  const { role, history, revision, digest, cursor, domains, users } = state;
  const records: MailRecord[] = [...domains.values(), ...users.values()];
  const counts = { domains: domains.size, users: users.size };
  const header = encodeHeader({ kind: "snapshot", role, history, revision, digest, counts, cursor });
  return [header, ...records.map(canonicalLine), encodeEnd(records.length)];
}

/** The lines of the delta between two states. */
export function deltaOf(from: MailState, to: MailState): string[] {
  const { role, history, revision, digest, cursor } = to;
  const counts = { domains: to.domains.size, users: to.users.size };
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
  const header = encodeHeader({ kind: "delta", role, history, revision, digest, counts, cursor });
  return [header, ...lines, encodeEnd(lines.length)];
}
