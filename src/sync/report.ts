import type { Counts } from "./answer.ts";
import { type RefusalReason, refusalReasons } from "./reader.ts";

/** What keeps a node from applying a state that it accepted; never free text. */
export const failureReasons = [
  "disk_full",
  "not_permitted",
  "write_failed",
  "postmap_failed",
  "lookup_failed",
  "domain_elsewhere",
  "maps_not_used",
] as const;

export type FailureReason = (typeof failureReasons)[number];

/** What a node does not do although the answer is sound. */
export const withheldReasons = ["removals_withheld"] as const;

/**
 * `withheld`: everything but removals was applied, for these would take more from the node than its
 * thresholds allow.
 */
export const reportStatuses = ["applied", "withheld", "refused", "failed"] as const;

export type ReportStatus = (typeof reportStatuses)[number];

export type ReportReason = RefusalReason | FailureReason | (typeof withheldReasons)[number];

export const reportReasons = [
  ...Object.keys(refusalReasons),
  ...failureReasons,
  ...withheldReasons,
] as ReportReason[];

/**
 * What a node tells the server after a poll: the state that it serves now, and how the last attempt went.
 * Without any state yet, history is "" and revision 0.
 */
export interface Report {
  revision: number;
  history: string;
  digest: string;
  counts: Counts;
  status: ReportStatus;
  /** null when status is "applied". */
  reason: ReportReason | null;
  /** How many the reason is about: removals withheld, the line of a damaged record; null where there is nothing to count. */
  count: number | null;
  /** Version of the node's program. */
  version: string;
}
