import { type Counts, type RefusalReason, refusalReasons } from "./snapshot.ts";

/** What keeps a node from applying a state that it accepted; never free text. */
export const failureReasons = ["disk_full", "not_permitted", "write_failed", "postmap_failed"] as const;

export type FailureReason = (typeof failureReasons)[number];

export const reportStatuses = ["applied", "refused", "failed"] as const;

export type ReportStatus = (typeof reportStatuses)[number];

export type ReportReason = RefusalReason | FailureReason;

export const reportReasons = [...Object.keys(refusalReasons), ...failureReasons] as ReportReason[];

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
  /** Version of the node's program. */
  version: string;
}
