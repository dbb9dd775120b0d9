import type { CheckName } from "../../mail/node-checks.ts";
import type { Counts } from "../../sync/answer.ts";
import { StateDigest } from "../../sync/digest.ts";
import type { RefusedAnswer } from "../../sync/reader.ts";
import type { Report, ReportReason } from "../../sync/report.ts";
import { dovecotVersion } from "../daemons/dovecot.ts";
import { explain, WrongAnswer } from "../faults.ts";
import { failedChecks } from "../own-checks.ts";
import { type Notes, writeNotes } from "../replica/notes.ts";
import { type Meta, nothingWithheld, type Replica } from "../replica/replica.ts";
import type { Session } from "../session.ts";
import { keyId } from "./key-file.ts";

/** Time after which a report of success is repeated, because a restored server has forgotten it. */
const REPORT_AGAIN = 3_600_000;

/** A poll's outcome, for the server. */
export type Outcome =
  | { status: "applied"; count?: undefined }
  | { status: "withheld" | "refused" | "failed"; reason: ReportReason; count?: number | undefined };

/** The outcome of a complete poll. */
export function outcomeOf(withheld: number): Outcome {
  if (withheld === 0) return { status: "applied" };
  return { status: "withheld", reason: "removals_withheld", count: withheld };
}

/** The outcome of a refused answer. */
export function refusedBecause(refusal: RefusedAnswer | WrongAnswer): Outcome {
  if (refusal instanceof WrongAnswer) return { status: "refused", reason: "not_maps" };
  const { reason, line } = refusal;
  const counted = ["damaged_record", "duplicate_record", "foreign_user"].includes(reason);
  return { status: "refused", reason, count: counted ? line : undefined };
}

/** The content of a report, besides what the program knows of itself and its machine. */
interface Reported {
  meta: Meta | undefined;
  outcome: Outcome;
  /** Records in service that the server no longer has; undefined if the replica cannot be read. */
  withheld: Counts | undefined;
}

/** Sends a report, and notes that the server has it. @returns false if it has not: the next poll then reports again */
export async function report(session: Session, replica: Replica, outcome: Outcome): Promise<boolean> {
  const { machine, key } = session;
  const { meta, withheld } = replica;
  const sent = await send(session, { meta, outcome, withheld });
  if (sent === undefined) return false;
  const told = outcome.status === "applied" || outcome.status === "withheld";
  const at = new Date(machine.clock.now()).toISOString();
  const reported = { at, key: keyId(key) ?? null, checks: sent.failed_checks, limited: sent.limited_users };
  await writeNotes(replica, { reported: told ? reported : undefined });
  return true;
}

async function ownChecks({ machine, config }: Session): Promise<CheckName[] | undefined> {
  return await failedChecks(config.out, machine.clock.now());
}

/** @returns the report that the server received; a failure is only a warning */
export async function send(session: Session, reported: Reported): Promise<Report | undefined> {
  const { machine, client, key, daemons } = session;
  try {
    // Asked each time: the resident program outlives an upgrade of Dovecot.
    const dovecot = daemons.dovecot && (await dovecotVersion(machine, daemons.dovecot));
    const failed_checks = await ownChecks(session);
    const limited_users = session.sending?.limitedUsers();
    const found = {
      ...(dovecot && { dovecot }),
      ...(failed_checks && { failed_checks }),
      ...(limited_users && { limited_users }),
    };
    const sent = { ...buildReport(reported, session), ...found };
    await client.sendReport(key, sent);
    return sent;
  } catch (error) {
    machine.log(`warning: the server did not take the report: ${explain(error)}`);
    return undefined;
  }
}

/** The report to the server: the state in service, and why the last attempt at a new one failed. */
function buildReport({ meta, outcome, withheld }: Reported, { version, hostName }: Session): Report {
  const applied = meta === undefined || meta.history === "" ? undefined : meta;
  const { domains, users, aliases, domain_aliases } = withheld ?? nothingWithheld;
  const reason = outcome.status === "applied" ? null : outcome.reason;
  return {
    revision: applied?.revision ?? 0,
    history: applied?.history ?? "",
    digest: applied?.digest ?? new StateDigest().toString(),
    counts: {
      domains: (applied?.domains ?? 0) + domains,
      users: (applied?.users ?? 0) + users,
      aliases: (applied?.aliases ?? 0) + aliases,
      domain_aliases: (applied?.domain_aliases ?? 0) + domain_aliases,
    },
    status: outcome.status,
    reason,
    count: outcome.count ?? null,
    ...(withheld && { withheld: { domains, users, aliases, domain_aliases } }),
    version,
    ...(hostName !== undefined && { host: hostName }),
  };
}

/** True if the server may not know the state in service, as after the node was added again, or the node's own checks. */
export async function reportIsDue(session: Session, { reported }: Notes): Promise<boolean> {
  if (reported === undefined || reported.key !== (keyId(session.key) ?? null)) return true;
  if (reported.checks?.join() !== (await ownChecks(session))?.join()) return true;
  if (reported.limited?.join() !== session.sending?.limitedUsers().join()) return true;
  const age = session.machine.clock.now() - Date.parse(reported.at);
  return !(age >= 0 && age < REPORT_AGAIN);
}
