import { basename } from "node:path";
import type { Machine } from "../../machine/machine.ts";
import { MAILBOX_ID } from "../../mail/mailbox.ts";
import type { FailureReason } from "../../sync/report.ts";
import type { Changes } from "../replica/notes.ts";
import type { Replica } from "../replica/replica.ts";
import { literal } from "../replica/sqlite.ts";
import { askUser, type Doveadm, reloadDovecot, unwritableFolder } from "./dovecot.ts";
import { lookUpInPostfix, type Postfix, reloadPostfix } from "./postfix.ts";

/** The installed daemons of this machine. */
export interface Daemons {
  postfix: Postfix | undefined;
  doveadm: Doveadm | undefined;
  /** The path of Dovecot itself. */
  dovecot?: string | undefined;
}

export interface Findings {
  /** The kind and number of results that contradict the applied state; undefined without any. */
  contradiction: { reason: FailureReason; count: number } | undefined;
  /** Why Dovecot did not answer; null if it did, or was not asked. */
  silence: string | null;
}

/** Makes the daemons reopen their files. */
export async function reloadDaemons(machine: Machine, { postfix, doveadm }: Daemons): Promise<void> {
  if (postfix !== undefined) await reloadPostfix(machine, postfix);
  if (doveadm !== undefined) await reloadDovecot(machine, doveadm);
}

/**
 * Looks up added and removed keys through Postfix's own configuration and through Dovecot. Added ones must be found, with a
 * folder to which mail can be written; removed ones must not be found. If Dovecot does not answer, that is only a warning,
 * because nobody can log in to it either; the next poll asks again.
 */
export async function lookUpChanges(
  machine: Machine,
  daemons: Daemons,
  replica: Replica,
  keys: Changes,
): Promise<Findings> {
  const role = replica.meta?.role === "mx" ? "mx" : "mail";
  const hosted = (names: readonly string[]): Promise<string[]> =>
    replica.db.run(
      `SELECT value FROM json_each(${literal(names)}) WHERE EXISTS (SELECT 1 FROM state.domain WHERE key = value);`,
    );
  const { elsewhere, unused, wrong } =
    daemons.postfix === undefined
      ? { elsewhere: [], unused: [], wrong: [] }
      : await lookUpInPostfix(machine, daemons.postfix, role, { keys, hosted });
  const dovecot =
    role === "mail" && daemons.doveadm !== undefined
      ? await askDovecot(machine, daemons.doveadm, keys.users, replica.meta?.mail_root ?? "")
      : { complaints: [], unwritable: [], silence: null };
  const complaints: [FailureReason, string[]][] = [
    ["domain_elsewhere", elsewhere],
    ["maps_not_used", unused],
    ["lookup_failed", [...wrong, ...dovecot.complaints]],
    ["folder_not_writable", dovecot.unwritable],
  ];
  for (const complaint of complaints.flatMap(([, lines]) => lines)) machine.log(`look-up: ${complaint}`);
  if (dovecot.silence !== null) machine.log(`warning: ${dovecot.silence}`);
  const worst = complaints.find(([, lines]) => lines.length > 0);
  return {
    contradiction: worst && { reason: worst[0], count: worst[1].length },
    silence: dovecot.silence,
  };
}

interface DovecotFindings {
  complaints: string[];
  /** Folders to which mail cannot be written. */
  unwritable: string[];
  silence: string | null;
}

async function askDovecot(
  machine: Machine,
  doveadm: Doveadm,
  { added, removed }: Changes["users"],
  mailRoot: string,
): Promise<DovecotFindings> {
  const findings: DovecotFindings = { complaints: [], unwritable: [], silence: null };
  for (const user of [...added, ...removed]) {
    const known = await askUser(machine, doveadm, user);
    if (typeof known === "string") return { ...findings, silence: known };
    if (removed.includes(user)) {
      // If Dovecot knows the user from another source, the home is not ours.
      if (known !== null && isOurHome(known.home, mailRoot))
        findings.complaints.push(`Dovecot still knows ${user}`);
      continue;
    }
    if (known === null) findings.complaints.push(`Dovecot does not know ${user}`);
    const folder = known === null ? undefined : await unwritableFolder(known);
    if (folder !== undefined) findings.unwritable.push(`the mail of ${user} cannot be written to ${folder}`);
  }
  return findings;
}

function isOurHome(home: string, mailRoot: string): boolean {
  return home.startsWith(`${mailRoot}/`) && MAILBOX_ID.test(basename(home));
}
