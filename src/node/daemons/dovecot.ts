import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { onOneLine } from "../faults.ts";
import { type Machine, runQuietly } from "../machine.ts";
import { count } from "../words.ts";

/** doveadm with its leading arguments. */
export type Doveadm = readonly string[];

/** Of a question that is asked again at each poll: Dovecot answers in milliseconds, and news must not wait for one that hangs. */
const USER_TIMEOUT = 5_000;
/** What `doveadm kick` ends with when the user has left meanwhile. */
const NO_SESSION = 68;
/** What doveadm ends with when it has asked Dovecot and there is no such user (EX_NOUSER). */
const NO_USER = 67;
/** How doveadm says that one of Dovecot's sockets is not there, or that nobody listens at it. */
const AWAY = /connect\w*\([^)]*\) failed: (?:No such file or directory|Connection refused)/;

/** Said in place of doveadm's own words, which are of sockets. */
const DOVECOT_IS_AWAY = "Dovecot does not answer: is it running?";

/**
 * Ends open sessions: of those that Dovecot says are there, the ones that `choose` names. A kick that fails is a warning:
 * Dovecot may be down, and then there are no sessions.
 */
export async function endSessions(
  machine: Machine,
  doveadm: Doveadm,
  choose: (present: string[]) => Promise<string[]>,
): Promise<void> {
  const who = await ask(machine, [...doveadm, "-f", "tab", "who"]);
  if (who === undefined) return;
  const present = new Set(
    who
      .split("\n")
      .slice(1)
      .map((line) => line.split("\t")[0] ?? ""),
  );
  present.delete("");
  if (present.size === 0) return;
  let ended = 0;
  for (const user of await choose([...present])) {
    if ((await ask(machine, [...doveadm, "kick", user])) !== undefined) ended += 1;
  }
  if (ended > 0) machine.log(`ended the open sessions of ${count(ended, "user")}`);
}

/** @returns what it printed, or undefined after a warning */
async function ask(machine: Machine, command: readonly string[]): Promise<string | undefined> {
  const { code, stdout, stderr } = await runQuietly(machine, command);
  if (code === 0) return stdout;
  if (AWAY.test(stderr)) machine.log(`warning: ${DOVECOT_IS_AWAY}`);
  else if (code !== NO_SESSION) {
    const words = command.slice(-2).join(" ");
    machine.log(`warning: doveadm ${words} ended with ${code ?? "a signal"}: ${onOneLine(stderr)}`);
  }
  return undefined;
}

/** What Dovecot knows of a user. */
export interface DovecotUser {
  home: string;
  /** The numbers that its processes have for this user; undefined where Dovecot does not say. */
  uid: number | undefined;
  gid: number | undefined;
}

/** @returns null when Dovecot knows no such user; a text on why it did not say */
export async function askUser(
  machine: Machine,
  doveadm: Doveadm,
  user: string,
): Promise<DovecotUser | null | string> {
  const { code, stdout, stderr } = await runQuietly(machine, [...doveadm, "user", user], USER_TIMEOUT);
  if (code === NO_USER) return null;
  if (code !== 0) {
    if (AWAY.test(stderr)) return DOVECOT_IS_AWAY;
    return `Dovecot was not asked whom it knows: ${onOneLine(stderr) || `doveadm ended with ${code ?? "a signal"}`}`;
  }
  const fields = new Map(
    stdout.split("\n").map((line) => {
      const [name = "", ...value] = line.trim().split(/\s+/);
      return [name, value.join(" ")];
    }),
  );
  const number = (name: string): number | undefined =>
    /^\d+$/.test(fields.get(name) ?? "") ? Number(fields.get(name)) : undefined;
  return { home: fields.get("home") ?? "", uid: number("uid"), gid: number("gid") };
}

/** Tells Dovecot to end its processes, which then open their files anew. One that does not run opens them anyway. */
export async function reloadDovecot(machine: Machine, doveadm: Doveadm): Promise<void> {
  await runQuietly(machine, [...doveadm, "reload"]);
}

/** The folder that a mailbox's mail could not be written to; undefined where it can. Its own, or the first above it. */
export async function unwritableFolder({ home, uid, gid }: DovecotUser): Promise<string | undefined> {
  if (home === "" || uid === undefined || gid === undefined || uid === 0) return undefined;
  for (let folder = home; ; folder = dirname(folder)) {
    try {
      const found = await stat(folder);
      const bits = found.uid === uid ? 0o300 : found.gid === gid ? 0o030 : 0o003;
      return found.isDirectory() && (found.mode & bits) === bits ? undefined : folder;
    } catch {
      if (folder === "/") return folder;
    }
  }
}
