import type { CheckName } from "../mail/node-checks.ts";
import type { Counts } from "./answer.ts";
import { type RefusalReason, refusalReasons } from "./reader.ts";

/** Reasons why a node cannot apply an accepted state. Never free text. */
export const failureReasons = [
  "disk_full",
  "not_permitted",
  "write_failed",
  "lookup_failed",
  "domain_elsewhere",
  "maps_not_used",
  "folder_not_writable",
] as const;

export type FailureReason = (typeof failureReasons)[number];

/** Reasons why a node holds back although the answer is sound. */
export const withheldReasons = ["removals_withheld"] as const;

/**
 * `withheld`: everything except removals was applied. The removals exceed the node's thresholds.
 */
export const reportStatuses = ["applied", "withheld", "refused", "failed"] as const;

export type ReportStatus = (typeof reportStatuses)[number];

export type ReportReason = RefusalReason | FailureReason | (typeof withheldReasons)[number];

export const reportReasons = [
  ...Object.keys(refusalReasons),
  ...failureReasons,
  ...withheldReasons,
] as ReportReason[];

/** Mailboxes that a report names at most. */
export const MOST_LIMITED_USERS = 100;

/** A full host name (RFC 1123, section 2.1) in lower case; names beyond ASCII are in their A-label form (RFC 5890). */
export const HOST_NAME =
  /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * A node's report after a poll: the state that it serves, and the outcome of the last attempt.
 * Before the first state, history is "" and revision 0.
 */
export interface Report {
  revision: number;
  history: string;
  digest: string;
  /** A program of an older version knows no aliases; it must be able to report that it is too old. */
  counts: Pick<Counts, "domains" | "users"> & Partial<Counts>;
  status: ReportStatus;
  /** null while status is "applied". */
  reason: ReportReason | null;
  /** The reason's number: removals withheld, or the line of a damaged record. null without a number. */
  count: number | null;
  /** Removals that the node withholds, whatever the reason; absent from an older program, or if its replica cannot be read. */
  withheld?: Counts;
  /** The version of the node's program. */
  version: string;
  /** The name by which its Postfix is known, in lower case; absent where Postfix does not say it. */
  host?: string;
  /** Major and minor version of the installed Dovecot, such as "2.3"; absent where it does not tell. */
  dovecot?: string;
  /** The node's own checks that are not ok; absent if it has not checked itself for a day. */
  failed_checks?: CheckName[];
  /** Mailboxes that reached a limit of what they may send within a day; absent where nobody counts. */
  limited_users?: string[];
}
