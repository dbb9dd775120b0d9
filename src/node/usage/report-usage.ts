import { join } from "node:path";
import { runQuietly } from "../../machine/machine.ts";
import { type MailboxUsage, MOST_REPORTED_MAILBOXES } from "../../sync/usage.ts";
import { presentUsers } from "../daemons/dovecot.ts";
import { explain } from "../faults.ts";
import { fileNames } from "../replica/files.ts";
import { attachToRead, type Place } from "../replica/replica.ts";
import { literal, Sqlite } from "../replica/sqlite.ts";
import type { Client } from "../server/client.ts";
import type { Session } from "../session.ts";
import { dayOf, lastLogin, notesLogins } from "./logins.ts";
import { EVERY, type Progress, readProgress, writeProgress } from "./progress.ts";
import { askSizes, DovecotAway } from "./quotas.ts";

/** ms between two looks whether mailboxes are due. */
const LOOK_EVERY = 60_000;
/** ms between two looks whether there is a state, after a start. */
const SOON = 3000;
/** Some mailboxes are followed by a rest of this many times the time that they took: nine tenths stay for mail. */
const REST_PER_COST = 9;
/** The shortest rest, in ms, and the shortest after a fault. */
const LEAST_REST = 1000;
const LEAST_REST_AFTER_FAULT = 60_000;

type Mailbox = readonly [domain: string, local: string, id: string];

/** Reports usage until `signal` is aborted, beside the polls. */
export async function keepReportingUsage(session: Session, signal: AbortSignal): Promise<void> {
  const { machine, daemons } = session;
  if (daemons.doveadm === undefined) return;
  const client = session.connect();
  while (!signal.aborted) await machine.clock.sleep(await reportUsage(session, client, signal), signal);
  client.close();
}

/**
 * Tells the server the sizes and last logins of some mailboxes, if they are due: all of them once a day. A fault is a warning
 * only.
 *
 * @returns ms until the next call
 */
export async function reportUsage(session: Session, client: Client, signal?: AbortSignal): Promise<number> {
  const { machine, config, daemons, replica } = session;
  if (daemons.doveadm === undefined || replica?.meta?.ready !== 1 || replica.meta.role !== "mail")
    return SOON;
  const { now, monotonic } = machine.clock;
  const progress = await readProgress(config.out, now());
  if (progress.next > now()) return Math.min(progress.next - now(), LOOK_EVERY);
  const began = monotonic();
  const restOf = (least: number): number => Math.max(least, REST_PER_COST * (monotonic() - began));
  try {
    const after = await tell({ ...session, client }, progress.after, signal);
    if (after === null) {
      const begun = now();
      await writeProgress(config.out, { begun, after, next: Math.max(progress.begun + EVERY, begun) });
      return LOOK_EVERY;
    }
    const rest = restOf(LEAST_REST);
    await writeProgress(config.out, { ...progress, after, next: now() + rest });
    return rest;
  } catch (error) {
    if (error instanceof DovecotAway || signal?.aborted === true) return LOOK_EVERY; // the poll warns about it
    machine.log(`warning: the sizes of mailboxes are not reported for now: ${explain(error)}`);
    const rest = restOf(LEAST_REST_AFTER_FAULT);
    await writeProgress(config.out, { ...progress, next: now() + rest }).catch(() => undefined);
    return rest;
  }
}

/** Tells of the mailboxes after this one. @returns the last of them; null if there are no more */
async function tell(
  session: Session,
  after: Progress["after"],
  signal: AbortSignal | undefined,
): Promise<Progress["after"]> {
  const mailboxes = await mailboxesAfter(session.place, after);
  const told = await usageOf(session, mailboxes, signal);
  // Debian's own Dovecot, before it is set up, knows none of them. Later ones may have faults of their own.
  if (after === null && mailboxes.length > 0 && told.length === 0) throw new DovecotAway();
  if (told.length > 0 && !(await session.client.sendUsage(session.key, { mailboxes: told }))) return null;
  const [domain = "", local = ""] = mailboxes.at(-1) ?? [];
  return mailboxes.length < MOST_REPORTED_MAILBOXES ? null : [domain, local];
}

/** With a connection of its own: that of the polls takes one call at a time. */
async function mailboxesAfter({ folder, sqlite }: Place, after: Progress["after"]): Promise<Mailbox[]> {
  const db = new Sqlite({ command: sqlite, folder });
  try {
    await attachToRead(db, "state", join(folder, fileNames.logins));
    const last = literal(after ?? ["", ""]);
    const rows = await db.run(`SELECT json_array(domain, local, id) FROM state.mailbox
      WHERE (domain, local) > (${last} ->> 0, ${last} ->> 1) AND id IS NOT NULL AND withheld IS NULL
      ORDER BY domain, local LIMIT ${MOST_REPORTED_MAILBOXES};`);
    return rows.map((row) => JSON.parse(row) as Mailbox);
  } finally {
    await db.close();
  }
}

async function usageOf(
  { machine, config, daemons }: Session,
  mailboxes: readonly Mailbox[],
  signal: AbortSignal | undefined,
): Promise<MailboxUsage[]> {
  if (mailboxes.length === 0) return [];
  const users = mailboxes.map(([domain, local]) => `${local}@${domain}`);
  const sizes = await askSizes(await socketOf({ machine, config }), users, signal);
  const noted = await notesLogins(config.logins);
  // A session that stays open for weeks is use, too.
  const present = noted ? await presentUsers(machine, daemons.doveadm ?? []) : undefined;
  const found: MailboxUsage[] = [];
  for (const [index, [, , id]] of mailboxes.entries()) {
    const user = users[index] ?? "";
    const size = sizes.get(user);
    if (size === undefined) continue;
    const login = present?.has(user) ? dayOf(machine.clock.now()) : await lastLogin(config.logins, id);
    found.push({
      user,
      used_kib: size.kib,
      messages: size.messages,
      ...(noted && { last_login: login }),
    });
  }
  return found;
}

/** The socket of Dovecot's server for doveadm. */
async function socketOf({ machine, config }: Pick<Session, "machine" | "config">): Promise<string> {
  const doveconf = await machine.find("doveconf");
  if (doveconf === undefined) throw new DovecotAway();
  const own = config.dovecotConfig === undefined ? [] : ["-c", config.dovecotConfig];
  const { stdout } = await runQuietly(machine, [doveconf, ...own, "-h", "base_dir"]);
  return join(stdout.trim() || "/run/dovecot", "doveadm-server");
}
