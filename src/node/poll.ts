import type { Machine } from "../machine/machine.ts";
import type { Config } from "./config.ts";
import { DOVECOT_IS_AWAY } from "./daemons/dovecot.ts";
import { listDomains } from "./daemons/rspamd.ts";
import { keepKeys } from "./dkim/keep-keys.ts";
import {
  type ExitCode,
  exitCodeOf,
  exitCodes,
  explain,
  failureReason,
  NotAccepted,
  TemporaryFailure,
  Unreachable,
} from "./faults.ts";
import { clearFormerRole } from "./former-role.ts";
import { FilesReplaced } from "./replica/in-place.ts";
import { type LastPoll, type Notes, readNotes, writeNotes } from "./replica/notes.ts";
import { isDamage, type Replica, setDamagedAside } from "./replica/replica.ts";
import { SqliteError } from "./replica/sqlite.ts";
import { isKey, readKey } from "./server/key-file.ts";
import { askServer, type Refusal, ReturnedHistory } from "./server/question.ts";
import { type Outcome, outcomeOf, refusedBecause, report, reportIsDue, send } from "./server/report.ts";
import {
  closeSession,
  dropReplica,
  FolderReplaced,
  openSession,
  type RunOptions,
  replicaOf,
  type Session,
} from "./session.ts";
import { acceptHere, applyAnswer, endLogins, isSameService, logApplied, lookUp } from "./update.ts";
import { reportUsage } from "./usage/report-usage.ts";
import { count } from "./words.ts";

export interface PollOptions {
  /** Report even if nothing has changed and the server has a report. */
  greet: boolean;
  /** Do not log that nothing has changed. */
  quiet: boolean;
  /** Seconds that the server may wait with an answer without news. */
  wait: number;
}

export interface PollResult {
  exitCode: ExitCode;
  /** Whether the server, or an acceptance here, had news for this node; undefined after a fault. */
  news?: "changed" | "unchanged";
  /** True if the answer has a new acceptance of removals: see AnswerHeaders. */
  acceptedAnew?: boolean;
  /** True if the server received this poll's report. */
  reported: boolean;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
  /** True if the server did not answer. */
  unreachable?: boolean;
  /** The outcome as a report tells it. */
  outcome?: Outcome;
  /** True if a whole state came, which leaves temporary tables of its size. */
  whole?: boolean;
  /** True if this program cannot go on: see FolderReplaced. */
  folderReplaced?: boolean;
}

/** One poll of a program that is not resident. Throws nothing: it logs an error in one line and returns an exit code. */
export async function pollOnce(machine: Machine, config: Config, options: RunOptions): Promise<PollResult> {
  let session: Session;
  try {
    session = await openSession(machine, config, options);
  } catch (error) {
    machine.log(explain(error));
    return { exitCode: exitCodeOf(error), reported: false };
  }
  try {
    const result = await poll(session, { greet: false, quiet: false, wait: 0 }, options.signal);
    if (result.news !== undefined) await reportUsage(session, session.client);
    return result;
  } finally {
    await closeSession(session);
  }
}

/** A poll within this time, in ms, comes soon. */
const SOON = 60_000;

/**
 * One poll: repairs the replica, asks the server, applies the news, and reports. Throws nothing. Notes the outcome for
 * `status`.
 */
export async function poll(
  session: Session,
  options: PollOptions,
  signal?: AbortSignal,
): Promise<PollResult> {
  session.pollLog.begin();
  session.client.lastWait = 0;
  let attempts = 1;
  let result = await attempt(session, options);
  // Files that somebody has overwritten may turn out to be damaged, too.
  for (; result.again === true && attempts < 3; attempts += 1) result = await attempt(session, options);
  // Do not note a poll that was stopped, or whose folder is gone: it tells nothing about the server or this node. Nor
  // note a cut-off wait if the next poll comes soon: that one does not wait, and its outcome is noted.
  const waited = session.client.lastWait > 0;
  const cut = result.unreachable === true && waited && (result.retryAfter ?? 0) < SOON;
  if (signal?.aborted === true || result.folderReplaced === true || cut) return result;
  await notePoll(session, result);
  await takeSendingLimits(session);
  if (result.news !== undefined && session.replica !== undefined) {
    await listDomains(session, session.replica);
    await keepKeys(session, session.replica);
  }
  // Closing the connection drops the large temporary tables, so that later changes stay cheap.
  if (result.whole === true) await dropReplica(session);
  return result;
}

/** Gives the counter what mailboxes may send now. A failure is only a warning: the former limits hold. */
async function takeSendingLimits({ sending, replica, machine }: Session): Promise<void> {
  if (sending === undefined || replica === undefined || replica.db.over) return;
  await sending.limits.take(replica).catch((error) => machine.log(`warning: ${explain(error)}`));
}

interface Attempted extends PollResult {
  /** True if another attempt has another key, another sqlite3 program, or other files. */
  again?: boolean;
}

/** One try with the key that the file has now. Throws nothing, like poll(). */
async function attempt(session: Session, options: PollOptions): Promise<Attempted> {
  const { machine, config } = session;
  try {
    // The start has warned of a key file that others can read.
    session.key = await readKey({ ...machine, log: () => undefined }, config.keyFile);
    return await round(session, options);
  } catch (error) {
    const failure = { exitCode: exitCodeOf(error), reported: false };
    if (error instanceof FilesReplaced) return { ...failure, again: true };
    // `rotate` may end the key that a waiting poll uses.
    if (error instanceof NotAccepted && (await isExchanged(session))) {
      machine.log("the key was exchanged: going on with the fresh one");
      return { ...failure, again: true };
    }
    machine.log(explain(error));
    if (error instanceof SqliteError) return await failed(session, error);
    const retryAfter = error instanceof TemporaryFailure ? error.retryAfter : undefined;
    const unreachable = error instanceof Unreachable;
    return { ...failure, retryAfter, unreachable, folderReplaced: error instanceof FolderReplaced };
  }
}

async function isExchanged({ machine, config, key }: Session): Promise<boolean> {
  const now = await readKey({ ...machine, log: () => undefined }, config.keyFile).catch(() => undefined);
  return now !== undefined && isKey(now) && now !== key;
}

/**
 * Handles an error of SQLite, which has undone the changes: sets damaged files aside, and reports. Another attempt is worth while if it
 * has a new sqlite3 program, or new files.
 */
async function failed(session: Session, fault: SqliteError): Promise<Attempted> {
  const { place, machine } = session;
  const { meta, withheld } = session.replica ?? {};
  await dropReplica(session);
  const outcome: Outcome = { status: "failed", reason: failureReason(fault) };
  const isKilled = fault.result === undefined;
  const isSetAside =
    isDamage(fault) && (await setDamagedAside(place).catch((error) => machine.log(explain(error))));
  const sent = await send(session, { meta, outcome, withheld });
  const again = isKilled || isSetAside === true;
  return { exitCode: exitCodeOf(fault), reported: sent !== undefined, outcome, again };
}

/**
 * Carries out what was accepted here, ends sessions that an earlier poll left open, asks the server, applies its answer, looks
 * the changes up, and reports.
 */
async function round(session: Session, options: PollOptions): Promise<PollResult> {
  const { machine } = session;
  const replica = await replicaOf(session);
  const acceptedNow = await acceptHere(session, replica);
  const notes = await readNotes(replica);
  session.dovecot = notes.poll?.dovecot ?? null;
  // A resident program has logged it when it began.
  if (options.quiet && !options.greet) {
    const isLeft = notes.ending !== undefined && !acceptedNow;
    const silence = session.dovecot ?? (isLeft ? DOVECOT_IS_AWAY : null);
    if (silence !== null) session.pollLog.mute(`warning: ${silence}`);
  }
  // Before the question, whose answer may take a minute, or not come.
  if (notes.ending !== undefined) await endLogins(session, replica);
  const wait = acceptedNow || replica.meta?.ready !== 1 ? 0 : options.wait;
  const answer = await askServer(session, replica, { wait, notes });
  if ("refusal" in answer) return await refuse(session, replica, answer, notes);
  const whole = answer.taken?.header.kind === "snapshot";
  const before = replica.meta;
  const applied = await applyAnswer(session, replica, answer, notes);
  const withheld = replica.withheld.addresses;
  if (applied !== undefined) logApplied(machine, replica, applied);
  if (withheld > 0 && (!options.quiet || applied !== undefined)) {
    machine.log(
      `withheld: ${count(withheld, "address")} that the server no longer has, still in service; ` +
        `to remove them: m25-mail-node accept --out ${session.config.out}`,
    );
  }
  const same = applied === undefined || isSameService(before, replica.meta, applied);
  const news = same && !acceptedNow ? "unchanged" : "changed";
  const result = { news, acceptedAnew: answer.acceptedAnew, whole } as const;
  const contradiction = await lookUp(session, replica);
  if (contradiction !== undefined) {
    const reported = await report(session, replica, contradiction);
    return { ...result, exitCode: exitCodes.temporary, reported, outcome: contradiction };
  }
  await clearFormerRole(session, replica);
  const changed = applied !== undefined || acceptedNow;
  if (!changed && !options.quiet && withheld === 0)
    machine.log(`nothing has changed since revision ${replica.meta?.revision}`);
  const outcome = outcomeOf(withheld);
  const due = changed || options.greet || (await reportIsDue(session, notes));
  const reported = due && (await report(session, replica, outcome));
  return { ...result, exitCode: withheld > 0 ? exitCodes.refused : exitCodes.done, reported, outcome };
}

async function refuse(
  session: Session,
  replica: Replica,
  { refusal, retryAfter }: Refusal,
  notes: Notes,
): Promise<PollResult> {
  session.machine.log(`refused the server's answer, the old state stays in service: ${refusal.message}`);
  if (refusal instanceof ReturnedHistory) {
    const { history } = refusal;
    const times = notes.returned?.history === history ? notes.returned.times + 1 : 1;
    await writeNotes(replica, { returned: { history, times } });
    // A load balancer may choose the other server for a new connection.
    session.client.close();
  }
  const outcome = refusedBecause(refusal);
  const reported = await report(session, replica, outcome);
  return { exitCode: exitCodes.refused, reported, retryAfter, outcome };
}

/** Notes the poll for `status`. A failure to write is only a warning. */
async function notePoll(session: Session, { exitCode, outcome }: PollResult): Promise<void> {
  const { machine, client, replica, pollLog, dovecot } = session;
  if (replica === undefined || replica.db.over) return;
  const failing = outcome === undefined || outcome.status === "applied" ? undefined : outcome;
  const lastPoll: LastPoll = {
    at: new Date(machine.clock.now()).toISOString(),
    exit_code: exitCode,
    answer: client.lastStatus ?? null,
    reason: failing?.reason ?? null,
    count: failing?.count ?? null,
    message: exitCode === exitCodes.done ? null : (pollLog.last ?? null),
    dovecot,
  };
  await writeNotes(replica, { poll: lastPoll }).catch((error) => machine.log(`warning: ${explain(error)}`));
}
