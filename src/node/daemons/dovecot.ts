import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { onOneLine, systemCode } from "../../machine/faults.ts";
import { type CommandResult, type Machine, runQuietly } from "../../machine/machine.ts";
import { reasonOf } from "../faults.ts";
import { count } from "../words.ts";

/** doveadm with its leading arguments. */
export type Doveadm = readonly string[];

/** Limit of a question that each poll repeats, in ms: Dovecot answers in milliseconds, and a hanging one must not delay news. */
const USER_TIMEOUT = 5_000;
/** Exit code of `doveadm kick` if the user has no session any more. */
const NO_SESSION = 68;
/** Exit code of doveadm if Dovecot knows no such user (EX_NOUSER). */
const NO_USER = 67;
/** doveadm's message if one of Dovecot's sockets is missing, or nothing listens on it. */
const AWAY = /connect\w*\([^)]*\) failed: (?:No such file or directory|Connection refused)/;

/** Replaces doveadm's own message, which is about sockets. */
export const DOVECOT_IS_AWAY = "Dovecot does not answer: is it running?";

/**
 * Ends the open sessions of these users. A failure is only a warning.
 *
 * @returns the users whose sessions may still be open
 */
export async function endSessions(
  machine: Machine,
  doveadm: Doveadm,
  users: readonly string[],
): Promise<readonly string[]> {
  const present = await presentUsers(machine, doveadm);
  if (present === undefined) return users;
  const open: string[] = [];
  let ended = 0;
  for (const user of users.filter((one) => present.has(one))) {
    const { code } = await ask(machine, [...doveadm, "kick", user], `kick ${user}`);
    if (code === 0) ended += 1;
    else if (code !== NO_SESSION) open.push(user);
  }
  if (ended > 0) machine.log(`ended the open sessions of ${count(ended, "user")}`);
  return open;
}

/** The users who have an open session; undefined after a warning. */
export async function presentUsers(machine: Machine, doveadm: Doveadm): Promise<Set<string> | undefined> {
  const { code, stdout } = await ask(machine, [...doveadm, "-f", "tab", "who"], "who");
  if (code !== 0) return undefined;
  const lines = stdout.split("\n").slice(1);
  const present = new Set(lines.map((line) => line.split("\t")[0] ?? ""));
  present.delete("");
  return present;
}

/** Runs doveadm, and warns if it fails. @param words its subcommand, for the warning */
async function ask(machine: Machine, command: readonly string[], words: string): Promise<CommandResult> {
  const result = await runQuietly(machine, command);
  const { code, stderr } = result;
  if (code === 0 || code === NO_SESSION) return result;
  if (AWAY.test(stderr)) machine.log(`warning: ${DOVECOT_IS_AWAY}`);
  else machine.log(`warning: doveadm ${words} ended with ${code ?? "a signal"}: ${onOneLine(stderr)}`);
  return result;
}

/** Dovecot's data about a user. */
export interface DovecotUser {
  home: string;
  /** The ids of its processes for this user; undefined if Dovecot does not tell, or this machine does not know the name. */
  uid: number | undefined;
  gid: number | undefined;
}

/** @returns null if Dovecot knows no such user; a text if it did not answer, with the reason */
export async function askUser(
  machine: Machine,
  doveadm: Doveadm,
  user: string,
): Promise<DovecotUser | null | string> {
  const result = await runQuietly(machine, [...doveadm, "user", user], USER_TIMEOUT);
  const { code, stdout, stderr } = result;
  if (code === NO_USER) return null;
  if (code !== 0) {
    if (AWAY.test(stderr)) return DOVECOT_IS_AWAY;
    return `Dovecot was not asked whom it knows: ${reasonOf("doveadm", result)}`;
  }
  const fields = new Map(
    stdout.split("\n").map((line) => {
      const [name = "", ...value] = line.trim().split(/\s+/);
      return [name, value.join(" ")];
    }),
  );
  // Dovecot prints mail_uid and mail_gid as they are set: a number or a name.
  const idOf = async (field: "uid" | "gid"): Promise<number | undefined> => {
    const value = fields.get(field) ?? "";
    if (/^\d+$/.test(value)) return Number(value);
    return field === "uid" ? await machine.user(value) : await machine.group(value);
  };
  return { home: fields.get("home") ?? "", uid: await idOf("uid"), gid: await idOf("gid") };
}

/** Major and minor version of the installed Dovecot; undefined if it does not tell. */
export async function dovecotVersion(machine: Machine, dovecot: string): Promise<string | undefined> {
  const { stdout } = await runQuietly(machine, [dovecot, "--version"], USER_TIMEOUT);
  return /^\d{1,2}\.\d{1,2}(?=\.)/.exec(stdout)?.[0];
}

/** Reloads Dovecot, so that its processes reopen their files. If Dovecot does not run, it will open them at its start. */
export async function reloadDovecot(machine: Machine, doveadm: Doveadm): Promise<void> {
  const result = await runQuietly(machine, [...doveadm, "reload"]);
  if (result.code !== 0 && !result.stderr.includes("Dovecot is not running"))
    machine.log(
      `warning: Dovecot may still read the files that were replaced: ${reasonOf("doveadm", result)}. Run: doveadm reload`,
    );
}

/**
 * The folder to which a mailbox's mail cannot be written: its own or the nearest existing one; undefined if it can, or if
 * this program may not look.
 */
export async function unwritableFolder({ home, uid, gid }: DovecotUser): Promise<string | undefined> {
  if (home === "" || uid === undefined || gid === undefined || uid === 0) return undefined;
  for (let folder = home; ; folder = dirname(folder)) {
    try {
      const found = await stat(folder);
      const bits = found.uid === uid ? 0o300 : found.gid === gid ? 0o030 : 0o003;
      return found.isDirectory() && (found.mode & bits) === bits ? undefined : folder;
    } catch (error) {
      if (systemCode(error) === "EACCES") return undefined;
      if (folder === "/") return folder;
    }
  }
}
