import { join } from "node:path";
import type { NodeRole } from "../sync/records.ts";
import { type ExitCode, exitCodeOf, exitCodes, explain, systemCode } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { names } from "./folder.ts";
import { formerFiles } from "./former-role.ts";
import type { Host } from "./host.ts";
import { type LastPoll, readLastPoll } from "./last-poll.ts";
import { sameFile } from "./situation.ts";
import { removeQuietly } from "./staging.ts";
import { type NodeState, parseNodeState } from "./state.ts";

/** Milliseconds within which a program at work has noted another poll: longer than it pauses by itself (pace.ts). */
const SILENT = 360_000;
/** The same after a poll that failed: a server may have asked for an hour. */
const SILENT_AFTER_FAILURE = 4_320_000;

/** What `status` tells, and what `--json` prints as it is. Times in RFC 3339. */
export interface Status {
  out: string;
  /** Of the program that tells it. */
  version: string;
  /** null when nothing was applied yet, or it cannot be read. */
  serving: {
    domains: number;
    users: number;
    history: string;
    revision: number;
    digest: string;
    since: string;
  } | null;
  role: NodeRole | null;
  /** True when there are files in service and no state.json, or a damaged one, to say what they are. */
  unrecorded: boolean;
  /** Users in service whom the server no longer has, since when, and from which revision on. */
  withheld: { users: number; since: string; first: number; last: number } | null;
  /** True when an operator has accepted removals here and no poll has carried them out yet. */
  accepted: boolean;
  /** When the server last took a report that this is in service; null when it was told otherwise since. */
  reported_at: string | null;
  /** Files in service that are not as they were written. */
  damaged: string[];
  missing: string[];
  /** True when an update was begun and did not come to its end. */
  unfinished: boolean;
  /** Files of when this node had mailboxes, which an mx does not use; see former-role.ts. */
  former: string[];
  /** True when what the last update changed was not yet found to be so by looking it up. */
  unproved: boolean;
  last_poll: LastPoll | null;
  /** What this process may not read, in words. */
  unreadable: string[];
  /** Why nothing can be written to the folder, in words; null where it can. */
  unwritable: string | null;
  exit_code: ExitCode;
}

export async function readStatus({ files, clock }: Host, out: string, version: string): Promise<Status> {
  const unreadable: string[] = [];
  const attempt = async <T>(reading: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await reading;
    } catch (error) {
      unreadable.push(explain(error));
      return otherwise;
    }
  };
  const listed = new Set(await attempt(files.list(out), []));
  const state = parseNodeState(await attempt(files.read(join(out, names.state)), undefined));
  const lastPoll = (await attempt(readLastPoll(files, out), undefined)) ?? null;
  const { damaged, missing } = await attempt(compareFiles(files, out, state), { damaged: [], missing: [] });
  const fault = listed.size > 0 && unreadable.length === 0 ? await probe(files, out) : undefined;
  const status: Omit<Status, "exit_code"> = {
    out,
    version,
    serving: state === undefined ? null : servingOf(state),
    role: state?.applied.role ?? null,
    unrecorded: state === undefined && unreadable.length === 0 && listed.has("mailboxes.lmdb"),
    withheld: withheldIn(state),
    accepted: listed.has(names.accepted),
    reported_at: state?.reported_at ?? null,
    damaged,
    missing,
    unfinished: listed.has(names.pending),
    former: state?.applied.role === "mx" ? await attempt(formerFiles(files, out), []) : [],
    unproved: listed.has(names.unproved),
    last_poll: lastPoll,
    unreadable,
    unwritable: fault === undefined ? null : explain(fault),
  };
  const exit_code = fault === undefined ? exitCodeFor(status, clock.now()) : exitCodeOf(fault);
  return { ...status, exit_code };
}

/** As much as any record of a poll takes. */
const PROBE = " ".repeat(4096);

/** @returns why a poll could not note anything in the folder: a full disk, a read-only one, a missing right */
async function probe(files: FileSystem, out: string): Promise<unknown> {
  const path = join(out, names.probe);
  try {
    await files.remove(path);
    const file = await files.create(path);
    try {
      await file.write(PROBE);
    } finally {
      await file.close();
    }
    return undefined;
  } catch (error) {
    // Another `status` does the same at this moment.
    return systemCode(error) === "EEXIST" ? undefined : error;
  } finally {
    await removeQuietly(files, [path]);
  }
}

function servingOf({ applied }: NodeState): Status["serving"] {
  const { history, revision, digest, counts, at } = applied;
  return { domains: counts.domains, users: counts.users, history, revision, digest, since: at };
}

function withheldIn(state: NodeState | undefined): Status["withheld"] {
  if (state === undefined || state.withheld === null) return null;
  const { users, since, first, last } = state.withheld;
  return { users, since, first, last };
}

async function compareFiles(
  files: FileSystem,
  out: string,
  state: NodeState | undefined,
): Promise<{ damaged: string[]; missing: string[] }> {
  const damaged: string[] = [];
  const missing: string[] = [];
  for (const [name, recorded] of Object.entries(state?.files ?? {})) {
    const found = await files.stat(join(out, name));
    if (found === undefined) missing.push(name);
    else if (!sameFile(recorded, found)) damaged.push(name);
  }
  return { damaged, missing };
}

function exitCodeFor(status: Omit<Status, "exit_code">, now: number): ExitCode {
  const { serving, last_poll, damaged, missing, unfinished } = status;
  if (serving === null) return status.unrecorded ? exitCodes.temporary : exitCodes.configuration;
  const last = Object.values(exitCodes).find((code) => code === last_poll?.exit_code);
  // A server that is not heard at all comes before what it said when it was.
  if (last !== undefined && last !== exitCodes.done) return last;
  if (status.withheld !== null) return exitCodes.refused;
  // A Dovecot that does not answer keeps no poll from its end.
  const unproved = status.unproved && last_poll?.dovecot == null;
  const amiss = damaged.length + missing.length > 0 || unfinished || unproved;
  return amiss || last_poll === null || isSilent(last_poll, now) ? exitCodes.temporary : exitCodes.done;
}

export function isSilent({ at, exit_code, reason }: LastPoll, now: number): boolean {
  const failed = exit_code !== exitCodes.done && reason !== "removals_withheld";
  return now - Date.parse(at) > (failed ? SILENT_AFTER_FAILURE : SILENT);
}
