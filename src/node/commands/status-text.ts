import { relative } from "../../command-line/terminal.ts";
import type { NodeRole } from "../../sync/records.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import type { LastPoll } from "../replica/notes.ts";
import type { Withheld } from "../replica/replica.ts";
import { count } from "../words.ts";
import { NEXT_POLL } from "./accept.ts";

/** The content of `status`, which `--json` prints unchanged. Times in RFC 3339. */
export interface Status {
  out: string;
  /** The version of this program. */
  version: string;
  /** null if nothing was applied yet, or the state cannot be read. */
  serving: {
    domains: number;
    users: number;
    /** With domain aliases. */
    aliases: number;
    history: string;
    revision: number;
    digest: string;
    since: string;
  } | null;
  role: NodeRole | null;
  /** False while the daemons' look-ups fail: the files were replaced, and the server has not answered since. */
  ready: boolean;
  /**
   * The addresses in service that the server no longer has, since when, and the first and last revision of their removals.
   * `logins` of them can still log in.
   */
  withheld: (Withheld & { logins: number; since: string }) | null;
  /** True if an operator has accepted removals here and no poll has carried them out yet. */
  accepted: boolean;
  /** When the server last received a report of this state; null if a later report said otherwise. */
  reported_at: string | null;
  /** A logins file that is left on an mx, which does not use it. */
  former: string[];
  /** True until look-ups have confirmed the last changes. */
  unproved: boolean;
  last_poll: LastPoll | null;
  /** Explanations of files that this process may not read. */
  unreadable: string[];
  /** Why nothing can be written to the folder; null if it can. */
  unwritable: string | null;
  exit_code: ExitCode;
}

/** Time in which a running program notes another poll, in ms: longer than its own pauses (schedule.ts). */
const SILENT = 360_000;
/** The same after a failed poll: a server may have asked for a pause of an hour. */
const SILENT_AFTER_FAILURE = 4_320_000;

export function isSilent({ at, exit_code, reason }: LastPoll, now: number): boolean {
  const failed = exit_code !== exitCodes.done && reason !== "removals_withheld";
  return now - Date.parse(at) > (failed ? SILENT_AFTER_FAILURE : SILENT);
}

/** About ten lines for people. */
export function describeStatus(status: Status, now: number): string {
  const { serving, last_poll, unreadable } = status;
  const lines: [name: string, text: string][] = [["folder", status.out]];
  if (serving !== null) {
    lines.push(
      ["serves", describeCounts(status)],
      ["revision", `${serving.revision} of history ${serving.history.slice(0, 8)}`],
      ["since", `${serving.since} (${relative(serving.since, now)})`],
    );
  } else if (unreadable.length === 0) {
    lines.push(["serves", "nothing: no poll has applied anything yet"]);
  }
  if (serving !== null) {
    lines.push(["withheld", describeWithheld(status, now)]);
    if (!status.ready)
      lines.push(["files", "were replaced or put back: every look-up fails until the server answers"]);
  }
  if (status.unproved) {
    const why = last_poll?.dovecot ?? null;
    const unproved = "Postfix and Dovecot have not confirmed the last change yet: the next poll looks again";
    lines.push(["look-up", why === null ? unproved : `${unproved}. ${why}`]);
  }
  if (status.former.length > 0) {
    lines.push([
      "unused",
      `${status.former.join(", ")}, which an mx does not use: removed a day after Dovecot last used it`,
    ]);
  }
  if (last_poll !== null) {
    const since = isSilent(last_poll, now) ? "; no poll since" : "";
    const answer = describeAnswer(last_poll);
    lines.push(["last poll", `${last_poll.at} (${relative(last_poll.at, now)}): ${answer}${since}`]);
    // After an acceptance, the record still tells the problem that it solves.
    const settled = status.accepted && last_poll.reason === "removals_withheld";
    if (last_poll.reason !== null && !settled) lines.push(["reason", describeReason(last_poll)]);
    if (last_poll.message !== null && !settled) lines.push(["message", last_poll.message]);
  } else if (unreadable.length === 0) {
    lines.push(["last poll", "no poll yet"]);
  }
  if (serving !== null) lines.push(["reported", describeReport(status, now)]);
  for (const words of unreadable) lines.push(["unreadable", `${words}; root may read it`]);
  if (status.unwritable !== null) lines.push(["unwritable", status.unwritable]);
  lines.push(["in short", describeExit(status, now)]);
  const text = lines.map(([name, words]) => `${name.padEnd(12)}${words}\n`).join("");
  return `m25-mail-node ${status.version}\n${text}`;
}

function describeCounts({ serving, role }: Status): string {
  const { domains = 0, users = 0, aliases = 0 } = serving ?? {};
  const counts = [
    count(domains, "domain"),
    count(users, "mailbox"),
    ...(aliases > 0 ? [count(aliases, "alias")] : []),
  ];
  return `${counts.join(", ")}${role === "mx" ? ", as an mx that relays" : ""}`;
}

function describeWithheld({ withheld, accepted, out }: Status, now: number): string {
  if (withheld === null) return "nothing";
  const { addresses, logins, since } = withheld;
  const who =
    `${count(addresses, "address")} that the server no longer has, since ${since} (${relative(since, now)}); ` +
    `${logins === 0 ? "none" : logins} of them can log in`;
  return accepted
    ? `${who}; accepted: they are removed with ${NEXT_POLL}`
    : `${who}; to remove them: m25-mail-node accept --out ${out}`;
}

function describeAnswer({ answer, exit_code }: LastPoll): string {
  if (answer === null) return exit_code === exitCodes.done ? "done" : "no answer from the server";
  if (answer === 304) return "304, nothing new";
  if (answer === 200) return exit_code === exitCodes.done ? "200, applied" : "200, with a problem";
  return `the server answered ${answer}`;
}

function describeReason({ reason, count: number }: LastPoll): string {
  return number === null ? `${reason}` : `${reason} (${number})`;
}

function describeReport({ reported_at }: Status, now: number): string {
  if (reported_at === null) return "not yet: the server does not know that this state is in service";
  return `to the server at ${reported_at} (${relative(reported_at, now)}): this state is in service`;
}

const TWO_HISTORIES =
  "a server with an older copy of the database answers at this address; the later state stays in service. Stop the wrong " +
  "server. The node takes the right one's state after ten polls, or at its next poll after m25-mail backup FILE and " +
  "m25-mail restore FILE there";

function describeExit(status: Status, now: number): string {
  const { exit_code, serving, unreadable, last_poll } = status;
  if (status.unwritable !== null)
    return "nothing can be written to the folder, so no change arrives; the old state stays in service";
  if (exit_code === exitCodes.done)
    return last_poll?.dovecot == null
      ? "all was well at the last poll"
      : "all was well at the last poll, except Dovecot";
  if (serving === null) {
    return unreadable.length > 0
      ? "not known: run this as root"
      : "no state: run m25-mail-node once, or check that --out is right";
  }
  if (exit_code === exitCodes.refused) {
    const answered = last_poll?.exit_code === exitCodes.refused && last_poll.reason !== "removals_withheld";
    if (answered && last_poll.reason === "returned_history") return TWO_HISTORIES;
    if (status.withheld === null || answered)
      return "the server's answer was refused; the old state stays in service";
    const others = "all else is in service";
    return status.accepted
      ? `the withheld removals were accepted, and the next poll carries them out; ${others}`
      : `too many removals came at once, and are withheld; ${others}`;
  }
  switch (last_poll?.exit_code) {
    case exitCodes.notAccepted:
      return "the server does not accept this node's key or address; the old state stays in service";
    case exitCodes.configuration:
      return "the configuration cannot work; the old state stays in service";
    case exitCodes.temporary:
      if (last_poll.reason === "lookup_failed")
        return "Postfix or Dovecot answers something else than this node has written; the next poll looks again";
      if (last_poll.reason === "folder_not_writable")
        return "the mail of a mailbox cannot be written: give its folder to the user of all mail (chown vmail:vmail)";
      if (last_poll.reason === "domain_elsewhere")
        return "another setting of Postfix's main.cf names a served domain, so its mail is refused: remove it there, then postfix reload";
      if (last_poll.reason === "maps_not_used")
        return "Postfix's main.cf does not use this node's maps, so mail is refused: run m25-mail-node setup";
      return "the last poll failed, and the next one tries again; the old state stays in service";
  }
  if (last_poll === null) return "no poll yet: check that the program runs";
  return isSilent(last_poll, now)
    ? "no poll for over 6 minutes: check that the program runs"
    : "something is wrong, and the next poll repairs it";
}
