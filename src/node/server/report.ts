import type { Counts } from "../../sync/answer.ts";
import { StateDigest } from "../../sync/digest.ts";
import type { RefusedAnswer } from "../../sync/reader.ts";
import type { Report, ReportReason } from "../../sync/report.ts";
import { WrongAnswer } from "../faults.ts";
import type { Notes } from "../replica/notes.ts";
import type { Meta } from "../replica/replica.ts";
import { keyId } from "./key-file.ts";

/** A report of success is repeated after that time: a server that was put back from a copy has forgotten it. */
const REPORT_AGAIN = 3_600_000;

/** How a poll ended, for the server. */
export type Outcome =
  | { status: "applied" }
  | { status: "withheld" | "refused" | "failed"; reason: ReportReason; count?: number | undefined };

/** Of a poll that came to its end. */
export function outcomeOf(withheld: number): Outcome {
  if (withheld === 0) return { status: "applied" };
  return { status: "withheld", reason: "removals_withheld", count: withheld };
}

/** In the words of a report. */
export function refusedBecause(refusal: RefusedAnswer | WrongAnswer): Outcome {
  if (refusal instanceof WrongAnswer) return { status: "refused", reason: "not_maps" };
  const { reason, line } = refusal;
  const counted = ["damaged_record", "duplicate_record", "foreign_user"].includes(reason);
  return { status: "refused", reason, count: counted ? line : undefined };
}

/**
 * What the server is told: the state in service, and why the last attempt at another came to nothing.
 *
 * @param withheld what is in service besides what the server has
 */
export function buildReport(
  meta: Meta | undefined,
  outcome: Outcome,
  withheld: Counts,
  version: string,
): Report {
  const applied = meta === undefined || meta.history === "" ? undefined : meta;
  return {
    revision: applied?.revision ?? 0,
    history: applied?.history ?? "",
    digest: applied?.digest ?? new StateDigest().toString(),
    counts: {
      domains: (applied?.domains ?? 0) + withheld.domains,
      users: (applied?.users ?? 0) + withheld.users,
    },
    status: outcome.status,
    reason: outcome.status === "applied" ? null : outcome.reason,
    count: (outcome.status === "applied" ? undefined : outcome.count) ?? null,
    version,
  };
}

/** True when the server may not know what is in service: a node that was added anew has told it nothing. */
export function reportIsDue({ reported }: Notes, key: string, now: number): boolean {
  if (reported === undefined || reported.key !== (keyId(key) ?? null)) return true;
  const age = now - Date.parse(reported.at);
  return !(age >= 0 && age < REPORT_AGAIN);
}
