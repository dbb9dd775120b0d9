import { StateDigest } from "../sync/digest.ts";
import type { Report, ReportReason } from "../sync/report.ts";
import type { Client } from "./client.ts";
import { explain } from "./faults.ts";
import type { Host } from "./host.ts";
import { keyId } from "./preparation.ts";
import { type NodeState, noteNodeState } from "./state.ts";

/** A report of success is repeated after that time: a server that was put back from a copy has forgotten it. */
const REPORT_AGAIN = 3_600_000;

/** How a poll ended, for the server. */
export type Outcome =
  | { status: "applied" }
  | { status: "withheld" | "refused" | "failed"; reason: ReportReason; count?: number | undefined };

/** Of a poll that came to its end. */
export function outcomeOf({ withheld }: NodeState): Outcome {
  if (withheld === null) return { status: "applied" };
  return { status: "withheld", reason: "removals_withheld", count: withheld.users };
}

/** What the server is told: the state in service, and why the last attempt at another came to nothing. */
export function buildReport(
  applied: NodeState["applied"] | undefined,
  outcome: Outcome,
  version: string,
): Report {
  return {
    revision: applied?.revision ?? 0,
    history: applied?.history ?? "",
    digest: applied?.digest ?? new StateDigest().toString(),
    counts: applied?.counts ?? { domains: 0, users: 0 },
    status: outcome.status,
    reason: outcome.status === "applied" ? null : outcome.reason,
    count: (outcome.status === "applied" ? undefined : outcome.count) ?? null,
    version,
  };
}

/** True when the server may not know that `state` is in service: a node that was added anew has told it nothing. */
export function reportIsDue({ reported_at, reported_with }: NodeState, key: string, now: number): boolean {
  if (reported_at === null || reported_with !== keyId(key)) return true;
  const age = now - Date.parse(reported_at);
  return !(age >= 0 && age < REPORT_AGAIN);
}

/**
 * Sends a report and notes in state.json what the server knows now. Either failing is a warning: the state
 * is in service all the same, and a report that is still due is sent after the next poll.
 *
 * @returns true when the server has taken it
 */
export async function sendReport(
  { host, out, client, key }: { host: Host; out: string; client: Client; key: string },
  report: Report,
  state: NodeState | undefined,
): Promise<boolean> {
  try {
    await client.sendReport(key, report);
  } catch (error) {
    host.log(`warning: the report was not taken: ${explain(error)}`);
    return false;
  }
  if (state === undefined) return true;
  const told = report.status === "applied" || report.status === "withheld";
  const reported_at = told ? new Date(host.clock.now()).toISOString() : null;
  if (reported_at === null && state.reported_at === null) return true;
  await noteNodeState(host, out, { ...state, reported_at, reported_with: told ? keyId(key) : undefined });
  return true;
}
