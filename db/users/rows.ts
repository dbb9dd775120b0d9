import type { Kysely, Selectable } from "kysely";
import type { SendingLimit } from "../../src/mail/sending-limit.ts";
import type { Schema } from "../schema.ts";
import { listOf } from "../within.ts";

/** A password of one program of a mailbox's owner. */
export interface AppPassword {
  name: string;
  createdAt: string;
  /** See app-password.ts. */
  selector: string;
  hash: string;
}

export interface User {
  id: number;
  domainId: number;
  email: string;
  localPart: string;
  domain: string;
  mailbox: string;
  /** The password that nodes serve. */
  passwordHash: string;
  /** The password while the login is off; else null. */
  heldHash: string | null;
  quotaMb: number;
  /** Sorted by selector. */
  appPasswords: readonly AppPassword[];
  /** null for its domain's. */
  sendingLimit: SendingLimit | null;
  active: boolean;
  createdAt: string;
  updatedAt: string;
}

/** The user before a page, in order of domain, then local part. */
export interface UserPosition {
  domain: string;
  localPart: string;
}

/**
 * Mailboxes of visible domains. CROSS JOIN makes SQLite keep this order of the tables, whatever its estimate of the
 * number of users.
 */
export function usersByDomain(db: Kysely<Schema>, within: ReadonlySet<string> | undefined) {
  const rows = db
    .selectFrom("domains")
    .crossJoin("users")
    .whereRef("users.domain_id", "=", "domains.id")
    .where("domains.erase_after", "is", null);
  return within === undefined ? rows : rows.where("domains.name", "in", listOf(within));
}

/** Mailboxes of all domains, in the other order of the tables: for queries by an index on users. */
export function usersFirst(db: Kysely<Schema>) {
  return db
    .selectFrom("users")
    .crossJoin("domains")
    .whereRef("domains.id", "=", "users.domain_id")
    .where("domains.erase_after", "is", null);
}

/** A row with the name of its domain. */
export type UserRow = Selectable<Schema["users"]> & { domain: string };

export function toUser(row: UserRow): User {
  return {
    id: row.id,
    domainId: row.domain_id,
    email: `${row.local_part}@${row.domain}`,
    localPart: row.local_part,
    domain: row.domain,
    mailbox: row.mailbox,
    passwordHash: row.password_hash,
    heldHash: row.held_hash,
    quotaMb: row.quota_mb,
    appPasswords: row.app_passwords === null ? [] : JSON.parse(row.app_passwords),
    sendingLimit: row.sending_limit === null ? null : JSON.parse(row.sending_limit),
    active: row.active === 1,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
