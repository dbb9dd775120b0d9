import { join } from "node:path";
import { RefusedAnswer } from "../sync/reader.ts";
import { acceptHere, applyAnswer } from "./accepting.ts";
import type { Workplace } from "./apply.ts";
import { ask, noteReturn, RefusedFirst, ReturnedHistory, refusedBecause } from "./asking.ts";
import { type Client, type MapsAnswer, openClient } from "./client.ts";
import type { Config } from "./config.ts";
import type { Limits } from "./connection.ts";
import { dryRun } from "./dry-run.ts";
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
import { names } from "./folder.ts";
import { clearFormerRole } from "./former-role.ts";
import type { Host, Lock } from "./host.ts";
import { listenTo, readLastPoll, recordPoll } from "./last-poll.ts";
import { type Eyes, lookUpChanges } from "./lookup.ts";
import { findCommands, makeOutDirectory, readAuthorities, readKey } from "./preparation.ts";
import { repair } from "./repair.ts";
import { buildReport, type Outcome, outcomeOf, reportIsDue, sendReport } from "./reporting.ts";
import { inspect } from "./situation.ts";
import type { NodeState } from "./state.ts";
import { thisMachine } from "./this-machine.ts";
import { version as thisVersion } from "./version.ts";
import { count } from "./words.ts";

/** What a caller may put in the place of this machine, and what a resident program keeps between polls. */
export interface Dependencies {
  host: Host;
  version: string;
  limits: Partial<Limits>;
  /** Aborted when the program is told to stop: a request ends at once, an update is finished first. */
  signal: AbortSignal | undefined;
  /** Keeps its connection; without it the poll opens one of its own. */
  client: Client | undefined;
  /** Has the folder already; without it the poll takes it for itself. */
  lock: Lock | undefined;
  /** Report even where nothing has changed and the server was told before. */
  greet: boolean;
  /** Do not log that nothing has changed. */
  quiet: boolean;
  /** For how many seconds the server may keep an answer that would bring no news. */
  wait: number;
}

export interface PollResult {
  exitCode: ExitCode;
  /** Whether the server, or an acceptance here, had anything new for this node; undefined after a fault. */
  news?: "changed" | "unchanged";
  /** True when the answer says that removals were accepted: MapsAnswer. */
  acceptedAnew?: boolean;
  /** True when the server has taken a report of this poll. */
  reported: boolean;
  /** How long the server asks to wait, in milliseconds. */
  retryAfter?: number | undefined;
  /** True when nobody answered for the server. */
  unreachable?: boolean;
}

/** Milliseconds. */
const SOON = 60_000;

/**
 * One poll: repairs what an earlier run left or somebody damaged, asks the server, applies what is new,
 * and reports. Throws nothing: a fault is logged in one line and becomes an exit code.
 */
export async function pollOnce(config: Config, given: Partial<Dependencies> = {}): Promise<PollResult> {
  const machine = given.host ?? thisMachine;
  const before = await readLastPoll(machine.files, config.out).catch(() => undefined);
  const dovecot = before?.dovecot ?? null;
  // A resident program said so when that began.
  const wasSaid = given.quiet === true && given.greet !== true && dovecot !== null;
  const { host, lastLine } = listenTo(machine, wasSaid ? [`warning: ${dovecot}`] : []);
  const noted: Noted = {
    answer: null,
    outcome: undefined,
    lockedOut: false,
    exchanged: false,
    waited: false,
    dovecot,
  };
  let result = await attemptPoll(config, { ...given, host }, noted);
  // `rotate` ends a key while a poll that waits has it.
  if (noted.exchanged) result = await attemptPoll(config, { ...given, host }, noted);
  // What was stopped, or was another run's, says nothing of the server or of this node; and a wait that
  // was cut off says nothing before it is asked without one, which is soon unless the server says otherwise.
  if (config.dryRun === true || noted.lockedOut || given.signal?.aborted === true) return result;
  if (result.unreachable === true && noted.waited && (result.retryAfter ?? 0) < SOON) return result;
  const { answer, outcome } = noted;
  const failing = outcome === undefined || outcome.status === "applied" ? undefined : outcome;
  await recordPoll(host.files, config.out, {
    at: new Date(host.clock.now()).toISOString(),
    exit_code: result.exitCode,
    answer,
    reason: failing?.reason ?? null,
    count: failing?.count ?? null,
    message: result.exitCode === exitCodes.done ? null : (lastLine() ?? null),
    dovecot: noted.dovecot,
  });
  return result;
}

/** What a poll has come to know, for `status`. */
interface Noted {
  answer: number | null;
  outcome: Outcome | undefined;
  /** True when another run was at work. */
  lockedOut: boolean;
  /** True once the server has refused a key that is no longer the key file's. */
  exchanged: boolean;
  /** True when the server was let keep its answer. */
  waited: boolean;
  /** Why Dovecot did not say whom it knows, at this poll or the last that asked it. */
  dovecot: string | null;
}

/** True when the key file holds another key than the one that was just refused. */
async function isExchanged({ files }: Host, { keyFile }: Config, key: string | undefined): Promise<boolean> {
  const text = await files.read(keyFile).catch(() => undefined);
  return key !== undefined && text !== undefined && text.trim() !== key;
}

async function attemptPoll(config: Config, given: Partial<Dependencies>, noted: Noted): Promise<PollResult> {
  const settings: Dependencies = {
    host: thisMachine,
    version: thisVersion,
    limits: {},
    signal: undefined,
    client: undefined,
    lock: undefined,
    greet: false,
    quiet: false,
    wait: 0,
    ...given,
  };
  const { host, version, limits, signal } = settings;
  let client = settings.client;
  let key: string | undefined;
  try {
    // What is lax about files a resident program has said when it started.
    const preparing = settings.quiet ? { ...host, log: () => undefined } : host;
    key = await readKey(preparing, config.keyFile);
    const ca = await readAuthorities(host, config.caFile);
    client ??= openClient({ server: config.server, ca, version, limits, signal });
    if (config.dryRun === true) {
      await dryRun(host, config, client, key);
      return { exitCode: exitCodes.done, reported: false };
    }
    const commands = await findCommands(host, config);
    await makeOutDirectory(preparing, config.out);
    const lock = settings.lock ?? (await host.lock(join(config.out, names.lock)));
    noted.lockedOut = lock === undefined;
    if (lock === undefined) throw new TemporaryFailure(`another m25-mail-node is at work on ${config.out}`);
    try {
      return await pollLocked({ host, config, commands, lock }, settings, client, key, noted);
    } finally {
      if (settings.lock === undefined) await lock.release();
    }
  } catch (error) {
    if (error instanceof NotAccepted && !noted.exchanged && (await isExchanged(host, config, key))) {
      noted.exchanged = true;
      host.log("the key was exchanged: going on with the fresh one");
    } else host.log(explain(error));
    const retryAfter = error instanceof TemporaryFailure ? error.retryAfter : undefined;
    const unreachable = error instanceof Unreachable;
    return { exitCode: exitCodeOf(error), reported: false, retryAfter, unreachable };
  } finally {
    if (settings.client === undefined) client?.close();
  }
}

async function pollLocked(
  place: Workplace,
  { version, greet, quiet, wait }: Dependencies,
  client: Client,
  key: string,
  noted: Noted,
): Promise<PollResult> {
  const { host, config } = place;
  const report = async (state: NodeState | undefined, outcome: Outcome): Promise<boolean> => {
    noted.outcome = outcome;
    const message = buildReport(state?.applied, outcome, version);
    return await sendReport({ host, out: config.out, client, key }, message, state);
  };
  const failed = async (state: NodeState | undefined, fault: unknown): Promise<PollResult> => {
    const reported = await report(state, { status: "failed", reason: failureReason(fault) });
    return { exitCode: exitCodeOf(fault), reported };
  };

  const situation = await inspect(config.out, { ...host, mailRoot: config.mailRoot });
  const leftovers = situation.leftovers.map((name) => join(config.out, name));
  for (const path of leftovers) await host.files.remove(path);

  const repaired = await repair(place, situation);
  const accepts = situation.accepted && repaired.fault === undefined;
  const start = accepts ? await acceptHere(place, repaired) : repaired;
  const acceptedNow = start !== repaired;
  noted.waited = wait > 0 && !acceptedNow;
  let answer: MapsAnswer;
  try {
    // What was let go is in service: the server is told, and `status` tells it, without a wait for other news.
    answer = await ask(host, client, key, start, acceptedNow ? 0 : wait);
  } catch (error) {
    const refusal = error instanceof RefusedFirst ? error.refusal : error;
    if (refusal instanceof RefusedAnswer || refusal instanceof WrongAnswer) {
      host.log(`the server's answer is refused, the old state stays in service: ${refusal.message}`);
      let state = start.recorded;
      if (refusal instanceof ReturnedHistory) {
        state = await noteReturn(host, config.out, state, refusal);
        // Whoever shares the load between two servers may then choose the other one.
        client.close();
      }
      const reported = await report(state, refusedBecause(refusal));
      const retryAfter = error instanceof RefusedFirst ? error.retryAfter : undefined;
      return { exitCode: exitCodes.refused, reported, retryAfter };
    }
    if (start.fault === undefined) throw error;
    host.log(explain(error));
    throw start.fault;
  } finally {
    noted.answer = client.lastStatus ?? null;
  }

  const { fault } = start;
  if (answer.state === undefined && fault !== undefined) return await failed(start.recorded, fault);
  let state = start.recorded;
  const before = state;
  try {
    state = await applyAnswer(place, start, answer);
  } catch (fault) {
    host.log(explain(fault));
    return await failed(start.recorded, fault);
  }
  const outcome = outcomeOf(state);
  noted.outcome = outcome;
  const exitCode = outcome.status === "withheld" ? exitCodes.refused : exitCodes.done;
  if (outcome.status === "withheld" && (!quiet || before?.applied !== state.applied)) {
    host.log(
      `withheld: ${count(outcome.count ?? 0, "user")} whom the server no longer has, still in service; ` +
        `m25-mail-node accept --out ${config.out} lets them go`,
    );
  }
  const changed = before?.applied !== state.applied || answer.state !== undefined;
  // A server that sends again and again what the node has must not be asked without a pause.
  const news = acceptedNow || (changed && !isSameService(before, state)) ? "changed" : "unchanged";
  const { acceptedAnew } = answer;
  const eyes = eyesOf(place, state);
  const { contradiction, silence } = await lookUpChanges(host, config.out, eyes);
  if (silence === null && noted.dovecot !== null && eyes.doveadm !== undefined)
    host.log("Dovecot answers again");
  noted.dovecot = silence;
  if (contradiction !== undefined) {
    const failure: Outcome = { status: "failed", ...contradiction };
    const reported = await report(state, failure);
    return { exitCode: exitCodes.temporary, news, acceptedAnew, reported };
  }
  state = await clearFormerRole(place, state);
  if (changed) return { exitCode, news, acceptedAnew, reported: await report(state, outcome) };
  // Where something is withheld that was said, and is what `status` repeats.
  if (!quiet && exitCode === exitCodes.done)
    host.log(`nothing has changed since revision ${state.applied.revision}`);
  const due = greet || reportIsDue(state, key, host.clock.now());
  return { exitCode, news, acceptedAnew, reported: due && (await report(state, outcome)) };
}

/** The cursor too: it tells which part of the state the node is to have, while withheld removals keep what it serves. */
function isSameService(before: NodeState | undefined, now: NodeState): boolean {
  return (
    before?.applied.role === now.applied.role &&
    before.applied.history === now.applied.history &&
    before.applied.revision === now.applied.revision &&
    before.applied.digest === now.applied.digest &&
    before.server.cursor === now.server.cursor
  );
}

/** With what to look up what was applied; an mx has no users of Dovecot's. */
function eyesOf({ config, commands }: Workplace, { applied: { role } }: NodeState): Eyes {
  const { postmap, postconf } = commands;
  const postfix =
    postconf === undefined ? undefined : { postmap, postconf, configuration: config.postfixConfig };
  const doveadm = role === "mail" ? commands.doveadm : undefined;
  return { role, postmap, postfix, doveadm, mailRoot: config.mailRoot };
}
