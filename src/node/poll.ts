import { acceptedRevision } from "../sync/acceptance.ts";
import { stateTag } from "../sync/answer.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import type { Report } from "../sync/report.ts";
import type { Config } from "./config.ts";
import { endSessions } from "./daemons/dovecot.ts";
import { lookUpChanges } from "./daemons/look-up.ts";
import {
  type ExitCode,
  exitCodeOf,
  exitCodes,
  explain,
  failureReason,
  NotAccepted,
  TemporaryFailure,
  Unreachable,
  WrongAnswer,
} from "./faults.ts";
import { clearFormerRole } from "./former-role.ts";
import type { Machine } from "./machine.ts";
import { type Applied, applyIncoming, type Circumstances, countEnded, endedAmong } from "./replica/apply.ts";
import { type Incoming, RefusedDelta, takeAnswer } from "./replica/incoming.ts";
import { DEFAULT_THRESHOLDS, firstLedger, passHour } from "./replica/losses.ts";
import { type LastPoll, type Notes, readNotes, writeNotes } from "./replica/notes.ts";
import { transaction, wholeProjection } from "./replica/projection.ts";
import { noteLogs, type Replica, readMeta, setDamagedAside } from "./replica/replica.ts";
import { literal, SqliteError, sqliteCodes } from "./replica/sqlite.ts";
import { readWithheld } from "./replica/withheld.ts";
import type { MapsAnswer } from "./server/client.ts";
import { isKey, keyId, readKey } from "./server/key-file.ts";
import { buildReport, type Outcome, outcomeOf, refusedBecause, reportIsDue } from "./server/report.ts";
import {
  closeSession,
  dropReplica,
  LockedOut,
  openSession,
  type Running,
  replicaOf,
  type Session,
  settleReplaced,
} from "./session.ts";
import { count } from "./words.ts";

/** Options of a poll. */
export interface Manner {
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
  /** True if the answer has a new acceptance of removals: see Word. */
  acceptedAnew?: boolean;
  /** True if the server received this poll's report. */
  reported: boolean;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
  /** True if the server did not answer. */
  unreachable?: boolean;
  /** The outcome as a report tells it. */
  outcome?: Outcome;
}

/** One poll of a program that is not resident. Throws nothing: it logs an error in one line and returns an exit code. */
export async function pollOnce(machine: Machine, config: Config, running: Running): Promise<PollResult> {
  let session: Session;
  try {
    session = await openSession(machine, config, running);
  } catch (error) {
    machine.log(explain(error));
    return { exitCode: exitCodeOf(error), reported: false };
  }
  try {
    return await poll(session, { greet: false, quiet: false, wait: 0 }, running.signal);
  } finally {
    await closeSession(session);
  }
}

/** Milliseconds. */
const SOON = 60_000;

/**
 * One poll: repairs the replica, asks the server, applies the news, and reports. Throws nothing. Notes the outcome for
 * `status`.
 */
export async function poll(session: Session, manner: Manner, signal?: AbortSignal): Promise<PollResult> {
  session.listener.begin();
  const trace: Trace = { dovecot: null, waited: false, whole: false };
  let result = await attempt(session, manner, trace);
  // `rotate` may end the key that a waiting poll uses.
  if (result.exchanged === true) {
    session.machine.log("the key was exchanged: going on with the fresh one");
    result = await attempt(session, manner, trace);
  }
  // Do not note a poll that was stopped or locked out: it tells nothing about the server or this node. A wait that was cut
  // off tells nothing either before the next poll without a wait, which comes soon unless the server says otherwise.
  const cut = result.unreachable === true && trace.waited && (result.retryAfter ?? 0) < SOON;
  if (signal?.aborted === true || result.lockedOut === true || cut) return result;
  await notePoll(session, result, { message: session.listener.last, dovecot: trace.dovecot });
  // Closing the connection drops the large temporary tables, so that later changes stay cheap.
  if (trace.whole) await dropReplica(session);
  return result;
}

interface Attempted extends PollResult {
  /** True if the key file now holds another key than the refused one. */
  exchanged?: boolean;
  lockedOut?: boolean;
}

/** An attempt's findings, however it ends. */
interface Trace {
  /** True if a whole state came, which leaves temporary tables of its size. */
  whole: boolean;
  /** True if the server was allowed to wait. */
  waited: boolean;
  /** Why Dovecot did not answer the last question; null if it did. */
  dovecot: string | null;
}

async function attempt(session: Session, manner: Manner, trace: Trace): Promise<Attempted> {
  const { machine, config } = session;
  let key: string | undefined;
  try {
    key = await readKey({ ...machine, log: () => undefined }, config.keyFile);
    return await round(session, key, manner, trace);
  } catch (error) {
    if (error instanceof NotAccepted && (await isExchanged(session, key)))
      return { exitCode: exitCodeOf(error), reported: false, exchanged: true };
    machine.log(explain(error));
    if (error instanceof SqliteError) return await failed(session, key, error);
    const retryAfter = error instanceof TemporaryFailure ? error.retryAfter : undefined;
    const unreachable = error instanceof Unreachable;
    const lockedOut = error instanceof LockedOut;
    return { exitCode: exitCodeOf(error), reported: false, retryAfter, unreachable, lockedOut };
  }
}

async function isExchanged({ config }: Session, key: string | undefined): Promise<boolean> {
  const quiet = { log: () => undefined } as unknown as Machine;
  const now = await readKey(quiet, config.keyFile).catch(() => undefined);
  return key !== undefined && now !== undefined && isKey(now) && now !== key;
}

/** Handles an error of SQLite, which has undone the changes: sets damaged files aside, and reports. */
async function failed(session: Session, key: string | undefined, fault: SqliteError): Promise<PollResult> {
  const { place, machine } = session;
  const meta = session.replica?.meta;
  await dropReplica(session);
  const outcome: Outcome = { status: "failed", reason: failureReason(fault) };
  if (fault.result === sqliteCodes.corrupt || fault.result === sqliteCodes.notADatabase)
    await setDamagedAside(place).catch((error) => machine.log(explain(error)));
  const nothing = { domains: 0, users: 0 };
  const reported =
    key !== undefined && (await send(session, key, buildReport(meta, outcome, nothing, session.version)));
  return { exitCode: exitCodeOf(fault), reported, outcome };
}

async function round(session: Session, key: string, manner: Manner, trace: Trace): Promise<PollResult> {
  const { machine, config } = session;
  const replica = await replicaOf(session);
  const acceptedNow = await acceptHere(session, replica);
  const notes = await readNotes(replica);
  const asked = {
    wait: acceptedNow || replica.meta?.ready !== 1 ? 0 : manner.wait,
    left: notes.ledger?.left ?? [],
  };
  trace.dovecot ??= notes.poll?.dovecot ?? null;
  // A resident program has logged it when it began.
  if (manner.quiet && !manner.greet && trace.dovecot !== null)
    session.listener.mute(`warning: ${trace.dovecot}`);
  trace.waited = asked.wait > 0;
  let answer: MapsAnswer<Incoming>;
  try {
    answer = await ask(session, key, replica, { ...asked, returned: notes.returned });
  } catch (error) {
    const refusal = error instanceof RefusedFirst ? error.refusal : error;
    if (!(refusal instanceof RefusedAnswer || refusal instanceof WrongAnswer)) throw error;
    return await refuse(session, key, replica, { refusal, notes, error });
  }
  trace.whole = answer.taken?.header.kind === "snapshot";
  const before = replica.meta;
  const applied = await take(session, replica, answer, notes);
  const { users: withheld } = await readWithheld(replica);
  const outcome = outcomeOf(withheld);
  if (applied !== undefined) logApplied(machine, replica, applied);
  if (withheld > 0 && (!manner.quiet || applied !== undefined)) {
    machine.log(
      `withheld: ${count(withheld, "user")} whom the server no longer has, still in service; ` +
        `m25-mail-node accept --out ${config.out} lets them go`,
    );
  }
  const changed = applied !== undefined || acceptedNow;
  const news =
    acceptedNow || (changed && !isSameService(before, replica.meta, applied)) ? "changed" : "unchanged";
  const { acceptedAnew } = answer;
  const looked = await lookUp(session, replica, trace);
  if (looked !== undefined) {
    const reported = await report(session, key, replica, looked);
    return { exitCode: exitCodes.temporary, news, acceptedAnew, reported, outcome: looked };
  }
  await clearFormerRole(session, replica, withheld);
  const exitCode = withheld > 0 ? exitCodes.refused : exitCodes.done;
  if (!changed && !manner.quiet && exitCode === exitCodes.done)
    machine.log(`nothing has changed since revision ${replica.meta?.revision}`);
  const due = changed || manner.greet || reportIsDue(notes, key, machine.clock.now());
  const reported = due && (await report(session, key, replica, outcome));
  return { exitCode, news, acceptedAnew, reported, outcome };
}

function circumstancesOf({ config, machine }: Session): Circumstances {
  const { thresholds = DEFAULT_THRESHOLDS, mailRoot } = config;
  return { thresholds, mailRoot, now: machine.clock.now() };
}

/** Carries out removals accepted at this node at once, without the server. */
async function acceptHere(session: Session, replica: Replica): Promise<boolean> {
  const { accepted } = await readNotes(replica);
  const { meta } = replica;
  if (accepted === undefined || meta === undefined || meta.ready !== 1) return false;
  if (accepted.history !== meta.history || (await readWithheld(replica)).users === 0) {
    await writeNotes(replica, { accepted: undefined });
    return false;
  }
  const applied = await applyIncoming(session.place, replica, undefined, circumstancesOf(session));
  logApplied(session.machine, replica, applied);
  await endLogins(session, replica);
  return true;
}

interface Asked {
  wait: number;
  left: readonly string[];
  returned: Notes["returned"];
}

/** The first refusal, if the second question, for everything, failed as well. */
class RefusedFirst extends Error {
  readonly refusal: RefusedDelta;
  readonly retryAfter: number | undefined;

  constructor(refusal: RefusedDelta, then: unknown) {
    super(refusal.message, { cause: then });
    this.refusal = refusal;
    this.retryAfter = then instanceof TemporaryFailure ? then.retryAfter : undefined;
  }
}

/** Asks for changes; if the node refuses them, asks for everything. */
async function ask(
  session: Session,
  key: string,
  replica: Replica,
  asked: Asked,
): Promise<MapsAnswer<Incoming>> {
  const { machine, client } = session;
  const { meta } = replica;
  const position =
    meta === undefined || meta.history === "" ? undefined : { tag: stateTag(meta), cursor: meta.cursor };
  const read = async (lines: AsyncIterable<string[]>): Promise<Incoming> => {
    const incoming = await takeAnswer(replica, lines);
    refuseReturn(incoming, replica, asked);
    return incoming;
  };
  try {
    return await client.fetchMaps(key, { position, wait: asked.wait }, read);
  } catch (refusal) {
    if (!(refusal instanceof RefusedDelta)) throw refusal;
    machine.log(`the changes that the server sent are refused, everything is asked for: ${refusal.message}`);
    try {
      return await client.fetchMaps(key, {}, read);
    } catch (error) {
      machine.log(explain(error));
      throw new RefusedFirst(refusal, error);
    }
  }
}

/** An answer of a history that this node has left for a later one. */
class ReturnedHistory extends RefusedAnswer {
  readonly history: string;

  constructor(history: string) {
    super("returned_history", 1);
    this.history = history;
  }
}

/** Answers in a row; a resident program gets them in about half an hour. */
const ALONE = 10;

/**
 * Keeps a node from following two databases behind one address in turn. It refuses a history that it has left, until that
 * history alone has answered ALONE times: then somebody has put an old file back by hand.
 */
function refuseReturn({ header: { history } }: Incoming, { meta }: Replica, { left, returned }: Asked): void {
  if (history === meta?.history || !left.includes(history)) return;
  if (returned?.history === history && returned.times >= ALONE) return;
  throw new ReturnedHistory(history);
}

async function refuse(
  session: Session,
  key: string,
  replica: Replica,
  { refusal, notes, error }: { refusal: RefusedAnswer | WrongAnswer; notes: Notes; error: unknown },
): Promise<PollResult> {
  session.machine.log(`the server's answer is refused, the old state stays in service: ${refusal.message}`);
  if (refusal instanceof ReturnedHistory) {
    const { history } = refusal;
    const times = notes.returned?.history === history ? notes.returned.times + 1 : 1;
    await writeNotes(replica, { returned: { history, times } });
    // A load balancer may choose the other server for a new connection.
    session.client.close();
  }
  const outcome = refusedBecause(refusal);
  const reported = await report(session, key, replica, outcome);
  const retryAfter = error instanceof RefusedFirst ? error.retryAfter : undefined;
  return { exitCode: exitCodes.refused, reported, retryAfter, outcome };
}

/** @returns the applied changes; undefined if there were none */
async function take(
  session: Session,
  replica: Replica,
  answer: MapsAnswer<Incoming>,
  notes: Notes,
): Promise<Applied | undefined> {
  const { machine, config, place } = session;
  const accepted = config.acceptLocally === true ? undefined : answer.accepted;
  const withheld = await readWithheld(replica);
  if (accepted !== answer.accepted && answer.acceptedAnew && withheld.users > 0) {
    machine.log(
      `the server says that withheld removals may go; --accept local: m25-mail-node accept --out ${config.out} lets them go`,
    );
  }
  const concerns = withheld.users > 0 && (acceptedRevision(accepted) ?? -1) >= withheld.first;
  if (answer.taken === undefined && !(concerns && accepted !== (notes.ledger?.ignored ?? undefined))) {
    await confirm(session, replica, notes);
    return undefined;
  }
  const applied = await applyIncoming(place, replica, answer.taken, {
    ...circumstancesOf(session),
    accepted,
  });
  await settleReplaced(session, replica);
  await endLogins(session, replica);
  return applied;
}

/** Notes that the server has nothing newer, so that the local state is right. */
async function confirm({ machine, config }: Session, replica: Replica, notes: Notes): Promise<void> {
  const { db, meta } = replica;
  if (meta === undefined) return;
  const before = notes.ledger ?? firstLedger(machine.clock.now());
  const ledger = passHour(before, machine.clock.now());
  if (meta.ready !== 1 || meta.mail_root !== config.mailRoot) {
    const root = literal(config.mailRoot);
    const ready = `UPDATE state.meta SET ready = 1, mail_root = json_extract(${root}, '$');`;
    await db.run(transaction([ready, ...wholeProjection]));
    replica.meta = await readMeta(db);
    await noteLogs(replica);
  }
  if (ledger !== before || notes.returned !== undefined)
    await writeNotes(replica, { ledger, returned: undefined });
}

/** Ends the sessions of users whose mailbox, password or quota has changed or is gone. */
async function endLogins({ machine, daemons }: Session, replica: Replica): Promise<void> {
  if (replica.meta?.role === "mx" || (await countEnded(replica)) === 0) return;
  if (daemons.doveadm === undefined) {
    machine.log("doveadm is not installed: open sessions of changed and removed users are not ended");
    return;
  }
  await endSessions(machine, daemons.doveadm, (present) => endedAmong(replica, present));
}

/** @returns the contradiction to the applied state; undefined if there is none */
async function lookUp(session: Session, replica: Replica, trace: Trace): Promise<Outcome | undefined> {
  const { machine, daemons } = session;
  const { unproved } = await readNotes(replica);
  if (unproved === undefined) return undefined;
  const { contradiction, silence } = await lookUpChanges(machine, daemons, replica, unproved);
  if (silence === null && trace.dovecot !== null && daemons.doveadm !== undefined)
    machine.log("Dovecot answers again");
  trace.dovecot = silence;
  if (contradiction !== undefined) return { status: "failed", ...contradiction };
  if (silence === null) await writeNotes(replica, { unproved: undefined });
  return undefined;
}

/** @returns true if the server received the report. If not, the next poll reports again. */
async function report(session: Session, key: string, replica: Replica, outcome: Outcome): Promise<boolean> {
  const { machine, version } = session;
  const withheld = await readWithheld(replica);
  if (!(await send(session, key, buildReport(replica.meta, outcome, withheld, version)))) return false;
  const told = outcome.status === "applied" || outcome.status === "withheld";
  const at = new Date(machine.clock.now()).toISOString();
  await writeNotes(replica, { reported: told ? { at, key: keyId(key) ?? null } : undefined });
  return true;
}

async function send({ machine, client }: Session, key: string, said: Report): Promise<boolean> {
  try {
    await client.sendReport(key, said);
    return true;
  } catch (error) {
    machine.log(`warning: the report was not taken: ${explain(error)}`);
    return false;
  }
}

/** Compares the cursor too: it tells which part of the state the node must have, while removals are withheld. */
function isSameService(before: Replica["meta"], now: Replica["meta"], applied: Applied | undefined): boolean {
  return (
    (applied?.users.removed ?? 0) === 0 &&
    before?.role === now?.role &&
    before?.history === now?.history &&
    before?.revision === now?.revision &&
    before?.digest === now?.digest &&
    before?.cursor === now?.cursor
  );
}

function logApplied(
  machine: Machine,
  { meta }: Replica,
  { revision, domains, users, withheld }: Applied,
): void {
  const served = `domains: ${meta?.domains ?? 0}, users: ${(meta?.users ?? 0) + withheld}`;
  machine.log(`applied revision ${revision}: ${summarize(domains, users)}; ${served}`);
}

/** A plan's numbers in one line. */
export function summarize(domains: Applied["domains"], users: Applied["users"]): string {
  const part = (number: number, noun: string, verb: string): string[] =>
    number === 0 ? [] : [`${count(number, noun)} ${verb}`];
  const parts = [
    ...part(domains.added, "domain", "added"),
    ...part(users.added, "user", "added"),
    ...part(users.changed, "user", "changed"),
    ...part(users.removed, "user", "removed"),
    ...part(domains.removed, "domain", "removed"),
  ];
  return parts.length === 0 ? "no user and no domain differs" : parts.join(", ");
}

/** Notes the poll for `status`. A failure to write is only a warning. */
async function notePoll(
  session: Session,
  { exitCode, outcome }: PollResult,
  { message, dovecot }: { message: string | undefined; dovecot: string | null },
): Promise<void> {
  const { machine, client, replica } = session;
  if (replica === undefined || replica.db.over) return;
  const failing = outcome === undefined || outcome.status === "applied" ? undefined : outcome;
  const poll: LastPoll = {
    at: new Date(machine.clock.now()).toISOString(),
    exit_code: exitCode,
    answer: client.lastStatus ?? null,
    reason: failing?.reason ?? null,
    count: failing?.count ?? null,
    message: exitCode === exitCodes.done ? null : (message ?? null),
    dovecot,
  };
  await writeNotes(replica, { poll }).catch((error) => machine.log(`warning: ${explain(error)}`));
}
