import { MailError } from "../src/mail/error.ts";
import type { Schema } from "./schema.ts";

/** Rows of one statement. */
export const COPIED_ROWS = 1000;

/**
 * All tables, each after those to which it refers. The state comes last, so that triggers on other tables do not change it, and
 * the first token before the tokens.
 */
export const copiedTables = [
  "revisions",
  "domains",
  "users",
  "password_links",
  "mailbox_usage",
  "removals",
  "aliases",
  "alias_targets",
  "alias_reach",
  "domain_aliases",
  "approved_domains",
  "nodes",
  "dkim_keys",
  "contacts",
  "refused_contacts",
  "ended_keys",
  "first_token",
  "tokens",
  "oauth",
  "operator",
  "audit_retention",
  "audit_log",
  "state",
] as const satisfies ReadonlyArray<keyof Schema>;

export type CopiedTable = (typeof copiedTables)[number];
type Row = Record<string, string | number | null>;

/** One state of a database. */
export interface CopySource {
  rows(table: CopiedTable): AsyncIterable<Row[]>;
  close(): Promise<void>;
}

/** An empty database. Nothing of it can be seen before finish(). */
export interface CopyTarget {
  add(table: CopiedTable, rows: readonly Row[]): Promise<void>;
  finish(): Promise<void>;
  /** Takes everything back, unless it is finished. */
  close(): Promise<void>;
}

export function notEmpty(database: string): MailError {
  return new MailError(
    "invalid_input",
    `${database} is not empty.`,
    "Nothing was copied. Name a new file, or a new PostgreSQL database.",
  );
}
