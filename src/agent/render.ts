import type { MailState } from "../sync/answer.ts";
import type { UserRecord } from "../sync/records.ts";

/** Raised when the same state makes other bytes than before, so that nodes write their files anew. */
export const RENDERING = 1;

const PIECE = 1 << 16;

/**
 * The texts of a node's files, in pieces of about 64 KB. The same state always makes the same bytes:
 * lines are sorted by their key (by code unit), each ends in a line feed, and there is nothing else.
 */

/**
 * Dovecot's passwd-file. Both quota fields are needed: 2.3 reads the first, 2.4 the second, and either
 * version takes the other's for no limit at all.
 */
export function renderUsers(users: readonly UserRecord[], mailRoot: string): Iterable<string> {
  return inPieces(users, ({ user, password, quota_mb, mailbox }) => {
    const size = `storage=${quota_mb}M`;
    return `${user}:${password}::::${home(mailRoot, user, mailbox)}::userdb_quota_rule=*:${size} userdb_quota_storage_size=${quota_mb}M\n`;
  });
}

/** The mailbox id keeps a former owner's mail from whoever gets the address after a hard delete. */
function home(mailRoot: string, user: string, mailbox: string): string {
  const at = user.indexOf("@");
  return `${mailRoot}/${user.slice(at + 1)}/${user.slice(0, at)}.${mailbox}`;
}

/** For virtual_mailbox_domains or relay_domains. */
export function renderDomains(state: MailState): Iterable<string> {
  return inPieces(sortedKeys(state.domains), (domain) => `${domain} OK\n`);
}

/** For virtual_mailbox_maps or relay_recipient_maps: only the key counts. */
export function renderMailboxes(state: MailState): Iterable<string> {
  return inPieces(sortedKeys(state.users), (user) => `${user} OK\n`);
}

/** For smtpd_sender_login_maps: who may send as an address. */
export function renderSenders(state: MailState): Iterable<string> {
  return inPieces(sortedKeys(state.users), (user) => `${user} ${user}\n`);
}

/**
 * The users of all states that have a mailbox here, sorted by address; of one address the last state's record.
 * Dovecot must know whomever Postfix knows, before and after Postfix's maps change.
 */
export function unionOfUsers(states: readonly MailState[]): UserRecord[] {
  const union: UserRecord[] = [];
  for (const [index, { users }] of states.entries()) {
    const later = states.slice(index + 1);
    for (const record of users.values()) {
      if ("password" in record && !later.some((state) => hasMailbox(state, record.user))) union.push(record);
    }
  }
  return union.sort(byAddress);
}

/** By code units, as Postfix lists its maps. */
export function byAddress(a: { user: string }, b: { user: string }): number {
  return a.user < b.user ? -1 : 1;
}

function hasMailbox({ users }: MailState, user: string): boolean {
  const record = users.get(user);
  return record !== undefined && "password" in record;
}

function sortedKeys(map: ReadonlyMap<string, unknown>): string[] {
  return Array.from(map.keys()).sort();
}

/** The lines of `items`, joined to pieces of about 64 KB. */
export function* inPieces<T>(items: Iterable<T>, line: (item: T) => string): Iterable<string> {
  let piece = "";
  for (const item of items) {
    piece += line(item);
    if (piece.length >= PIECE) {
      yield piece;
      piece = "";
    }
  }
  if (piece !== "") yield piece;
}
