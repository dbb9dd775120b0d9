import { NEXT_POLL } from "./acceptance.ts";
import type { StatusConfig } from "./config.ts";
import { type ExitCode, exitCodes } from "./faults.ts";
import type { Host } from "./host.ts";
import type { LastPoll } from "./last-poll.ts";
import { isSilent, readStatus, type Status } from "./status.ts";
import { count } from "./words.ts";

/** Prints what the node serves and how it fares, without asking the server. */
export async function showStatus(
  { out, json }: StatusConfig,
  host: Host,
  version: string,
): Promise<ExitCode> {
  const status = await readStatus(host, out, version);
  host.print(json ? `${JSON.stringify(status)}\n` : describeStatus(status, host.clock.now()));
  return status.exit_code;
}

/** About ten lines for people. */
function describeStatus(status: Status, now: number): string {
  const { serving, last_poll, unreadable } = status;
  const lines: [name: string, text: string][] = [["folder", status.out]];
  if (serving !== null) {
    lines.push(
      ["serves", describeCounts(status)],
      ["revision", `${serving.revision} of history ${serving.history.slice(0, 8)}`],
      ["since", `${serving.since} (${ago(serving.since, now)})`],
    );
  } else if (status.unrecorded) {
    lines.push([
      "serves",
      "the files as they are; what they hold is not known, for state.json is lost or damaged",
    ]);
  } else if (unreadable.length === 0) {
    lines.push(["serves", "nothing: no poll has applied anything here yet"]);
  }
  if (serving !== null) {
    lines.push(["files", describeFiles(status)], ["withheld", describeWithheld(status, now)]);
  }
  if (status.unfinished) lines.push(["update", "begun and not finished: the next poll goes on with it"]);
  if (status.unproved) {
    const why = last_poll?.dovecot ?? null;
    const unproved = "what changed last is not proved by looking it up: the next poll does so again";
    lines.push(["look-up", why === null ? unproved : `${unproved}. ${why}`]);
  }
  if (status.former.length > 0) {
    lines.push([
      "former",
      `${status.former.join(", ")}, of when this node had mailboxes: they go a day after Dovecot last used them`,
    ]);
  }
  if (last_poll !== null) {
    const since = isSilent(last_poll, now) ? "; none is noted since" : "";
    const answer = describeAnswer(last_poll);
    lines.push(["last poll", `${last_poll.at} (${ago(last_poll.at, now)}): ${answer}${since}`]);
    // Of what was accepted since, the record says what there was to be done.
    const settled = status.accepted && last_poll.reason === "removals_withheld";
    if (last_poll.reason !== null && !settled) lines.push(["reason", describeReason(last_poll)]);
    if (last_poll.message !== null && !settled) lines.push(["said", last_poll.message]);
  } else if (unreadable.length === 0) {
    lines.push(["last poll", "none is recorded"]);
  }
  if (serving !== null) lines.push(["server", describeReport(status, now)]);
  for (const words of unreadable) lines.push(["unreadable", `${words}; root may read it`]);
  if (status.unwritable !== null) lines.push(["unwritable", status.unwritable]);
  lines.push(["altogether", describeExit(status, now)]);
  const text = lines.map(([name, words]) => `${name.padEnd(12)}${words}\n`).join("");
  return `m25-mail-node ${status.version}\n${text}`;
}

function describeCounts({ serving, role }: Status): string {
  const counts = `${count(serving?.domains ?? 0, "domain")}, ${count(serving?.users ?? 0, "user")}`;
  return role === "mx" ? `${counts}, as an mx that relays` : counts;
}

function describeWithheld({ withheld, accepted, out }: Status, now: number): string {
  if (withheld === null) return "nothing";
  const { users, since } = withheld;
  const who = `${count(users, "user")} whom the server no longer has, since ${since} (${ago(since, now)})`;
  return accepted
    ? `${who}; accepted: they go with ${NEXT_POLL}`
    : `${who}; m25-mail-node accept --out ${out} lets them go`;
}

function describeFiles({ damaged, missing }: Status): string {
  if (damaged.length + missing.length === 0) return "as they were written";
  const parts = [
    ...(missing.length > 0 ? [`missing: ${missing.join(", ")}`] : []),
    ...(damaged.length > 0 ? [`not as written: ${damaged.join(", ")}`] : []),
  ];
  return `${parts.join("; ")} (the next poll makes them anew)`;
}

function describeAnswer({ answer, exit_code }: LastPoll): string {
  if (answer === null) return exit_code === exitCodes.done ? "done" : "no answer from the server";
  if (answer === 304) return "304, nothing new";
  if (answer === 200) return exit_code === exitCodes.done ? "200, applied" : "200, not applied whole";
  return `the server answered ${answer}`;
}

function describeReason({ reason, count: number }: LastPoll): string {
  return number === null ? `${reason}` : `${reason} (${number})`;
}

function describeReport({ reported_at }: Status, now: number): string {
  if (reported_at === null) return "does not know yet that this is in service";
  return `was told at ${reported_at} (${ago(reported_at, now)})`;
}

const TWO_HISTORIES =
  "an older copy of the database answers, in turn with the one that this node follows or in its place; what that one said " +
  "stays in service: leave one of them. The node goes over to it once it hears nothing else, or at its next try after " +
  "m25-mail backup FILE and m25-mail restore FILE there";

function describeExit(status: Status, now: number): string {
  const { exit_code, serving, unreadable, last_poll } = status;
  if (status.unwritable !== null)
    return "nothing can be written to the folder, no change and no note of a poll; what is there stays in service";
  if (exit_code === exitCodes.done)
    return last_poll?.dovecot == null ? "all is well" : "all is well, but for Dovecot";
  if (status.unrecorded) return "the record is lost; the next poll makes it anew";
  if (serving === null) {
    return unreadable.length > 0
      ? "not known: run this as root"
      : "no state: run m25-mail-node once, or look whether --out is right";
  }
  if (exit_code === exitCodes.refused) {
    const answered = last_poll?.exit_code === exitCodes.refused && last_poll.reason !== "removals_withheld";
    if (answered && last_poll.reason === "returned_history") return TWO_HISTORIES;
    if (status.withheld === null || answered)
      return "the server's answer was refused; the old state stays in service";
    const others = "everything else of the server's state is in service";
    return status.accepted
      ? `the removals that are withheld were accepted, and go with the next poll; ${others}`
      : `removals are withheld: too many at once; ${others}`;
  }
  switch (last_poll?.exit_code) {
    case exitCodes.notAccepted:
      return "the server does not accept this node's key or address; the old state stays in service";
    case exitCodes.configuration:
      return "the last poll could not work as it is configured; the old state stays in service";
    case exitCodes.temporary:
      if (last_poll.reason === "lookup_failed")
        return "what changed last is not what Postfix or Dovecot finds; the next poll looks again";
      if (last_poll.reason === "domain_elsewhere")
        return "Postfix's main.cf names a served domain elsewhere, so its mail is refused: remove it there, then postfix reload";
      if (last_poll.reason === "maps_not_used")
        return "Postfix's main.cf does not use this node's maps, so mail is refused: see docs/nodes.md, then postfix reload";
      return "the last poll failed for now, and the next one tries again; what is there stays in service";
  }
  if (last_poll === null) return "no poll is recorded: look whether the program runs";
  return isSilent(last_poll, now)
    ? "no poll is noted for over 6 minutes: look whether the program runs"
    : "the next poll sets right what is amiss";
}

const UNITS: readonly [name: string, milliseconds: number][] = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];

/** A clock that was put back makes a time to come of one that is past: that is "just now". */
function ago(at: string, now: number): string {
  const age = now - Date.parse(at);
  const unit = UNITS.find(([, milliseconds]) => age >= milliseconds);
  return unit === undefined ? "just now" : `${count(Math.floor(age / unit[1]), unit[0])} ago`;
}
