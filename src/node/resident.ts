import type { Machine } from "../machine/machine.ts";
import type { Config } from "./config.ts";
import { type ExitCode, exitCodes, explain } from "./faults.ts";
import type { Lock } from "./lock.ts";
import { type PollResult, poll } from "./poll.ts";
import { FilesReplaced, whileInPlace } from "./replica/in-place.ts";
import { setDamagedAside } from "./replica/replica.ts";
import { FIRST, nextSchedule, type Schedule, type TimedPoll } from "./schedule.ts";
import { PolicyServer } from "./sending/policy-server.ts";
import { KnownRecipients } from "./sending/recipients.ts";
import { closeSession, dropReplica, LockedOut, openSession, type Session } from "./session.ts";
import { keepReportingUsage } from "./usage/report-usage.ts";

/** ms between two attempts to lock the folder. */
const LOCK_AGAIN = 2000;
/** ms between two readings of the files, at least. */
const READ_EVERY = 50_000;
/** A reading takes at most this part of the time. */
const READING = 0.01;

/**
 * Polls until `signal` is aborted, and lets the server wait for news; finishes a running update first. It logs faults and
 * tries again. Only two things end it: a configuration that cannot work, at the start, and a folder that somebody has replaced.
 */
export async function runResident(
  machine: Machine,
  config: Config,
  version: string,
  signal: AbortSignal,
): Promise<ExitCode> {
  let session: Session;
  try {
    const wait = (attempt: () => Promise<Lock | undefined>) =>
      waitForFolder(machine, config.out, attempt, signal);
    session = await openSession(machine, config, { version, signal, waitForLock: wait });
  } catch (error) {
    if (error instanceof LockedOut && signal.aborted) return exitCodes.done;
    throw error;
  }
  const known = new KnownRecipients(session.place);
  const sending = config.sending && new PolicyServer(machine, config.sending.limits, known);
  session.sending = sending;
  const over = new AbortController();
  signal.addEventListener("abort", () => over.abort(), { once: true });
  const usage = keepReportingUsage(session, over.signal);
  machine.log(`m25-mail-node ${version} keeps ${config.out} in step with ${config.server.href}`);
  try {
    let greet = true;
    let schedule = FIRST;
    let reading = { at: machine.clock.monotonic(), took: 0 };
    while (!signal.aborted) {
      if (config.sending !== undefined) await sending?.listen(config.sending.port);
      const asked = machine.clock.monotonic();
      // While keys are made, or the server has not heard of them, news must not be waited for.
      if (session.keyRun.isUnfinished === true) schedule = { ...schedule, wait: 0 };
      const result = await poll(session, { greet, quiet: true, wait: schedule.wait }, signal);
      if (result.reported) greet = false;
      if (signal.aborted) break;
      if (result.folderReplaced === true) return result.exitCode;
      const timed = { ...result, took: machine.clock.monotonic() - asked };
      if (isReadingDue(machine.clock.monotonic(), result, reading)) {
        const { isDamaged, ...read } = await readFiles(session);
        reading = read;
        if (isDamaged) {
          schedule = FIRST;
          continue;
        }
      }
      const next = nextSchedule(schedule, timed, machine.random());
      if (next.knownWait !== schedule.knownWait) machine.log(describe(next.knownWait, schedule, timed));
      schedule = next;
      await pause(session, schedule.pause, signal);
    }
    return exitCodes.done;
  } finally {
    over.abort();
    await usage;
    sending?.close();
    await known.close();
    await closeSession(session);
  }
}

/** A reading of all files, in ms of the monotonic clock. */
interface Reading {
  at: number;
  took: number;
}

/** False while the server is away: a damaged file goes on to serve what it can. */
function isReadingDue(now: number, { news, outcome }: PollResult, { at, took }: Reading): boolean {
  if (news === undefined && outcome?.status !== "failed") return false;
  return now - at >= Math.max(READ_EVERY, took / READING);
}

/** Looks for damage in what no change needs, or what only the daemons read anew. If there is some, closes the replica. */
async function readFiles(session: Session): Promise<Reading & { isDamaged: boolean }> {
  const { clock, log } = session.machine;
  const began = clock.monotonic();
  const isDamaged = (await setDamagedAside(session.place).catch((error) => log(explain(error)))) === true;
  if (isDamaged) await dropReplica(session);
  const at = clock.monotonic();
  return { at, took: at - began, isDamaged };
}

/** Waits until the next poll, or until somebody replaces the files. */
async function pause({ machine, replica }: Session, time: number, signal: AbortSignal): Promise<void> {
  const sleep = (until: AbortSignal) => machine.clock.sleep(time, until);
  if (time === 0 || replica === undefined || replica.db.over) return await sleep(signal);
  await whileInPlace(replica, machine.log, (replaced) => sleep(AbortSignal.any([signal, replaced]))).catch(
    (error) => {
      if (!(error instanceof FilesReplaced)) throw error;
    },
  );
}

/**
 * Locks the folder for the program's whole run: two programs that took turns would each wait for the other.
 *
 * @returns undefined if `signal` is aborted before the folder is free
 */
async function waitForFolder(
  { clock, log }: Machine,
  out: string,
  attempt: () => Promise<Lock | undefined>,
  signal: AbortSignal,
): Promise<Lock | undefined> {
  let told = false;
  while (!signal.aborted) {
    const lock = await attempt();
    if (lock !== undefined) {
      if (told) log(`the other m25-mail-node no longer uses ${out}: this one goes on`);
      return lock;
    }
    if (!told) log(`another m25-mail-node uses ${out}: this one waits until it ends`);
    told = true;
    await clock.sleep(LOCK_AGAIN, signal);
  }
  return undefined;
}

/** Explains a change in how the server is asked. */
function describe(knownWait: number, before: Schedule, { news, took }: TimedPoll): string {
  if (knownWait > before.knownWait)
    return `the server waits for news again, for up to ${knownWait} s: a change arrives at once`;
  const why =
    news === undefined
      ? `something, perhaps a proxy, ended a wait of ${before.wait} s for news after ${Math.round(took / 1000)} s`
      : "the server, or a proxy before it, answers without news at once instead of waiting for some";
  return knownWait > 0 ? `${why}: asking for waits of ${knownWait} s` : `${why}: asking each minute`;
}
