import type { Machine } from "../machine/machine.ts";
import { acceptedRevision } from "../sync/acceptance.ts";
import { endSessions } from "./daemons/dovecot.ts";
import { lookUpChanges } from "./daemons/look-up.ts";
import { type Applied, applyIncoming } from "./replica/apply.ts";
import type { ApplyOptions } from "./replica/comparison.ts";
import type { Incoming } from "./replica/incoming.ts";
import { DEFAULT_THRESHOLDS, firstLedger, passHour } from "./replica/losses.ts";
import { type Notes, readNotes, writeNotes } from "./replica/notes.ts";
import { transaction, wholeProjection } from "./replica/projection.ts";
import { type Replica, readState } from "./replica/replica.ts";
import { literal } from "./replica/sqlite.ts";
import type { MapsAnswer } from "./server/client.ts";
import type { Outcome } from "./server/report.ts";
import { type Session, settleReplaced } from "./session.ts";
import { count } from "./words.ts";

function applyOptions({ config, machine }: Session): ApplyOptions {
  const { thresholds = DEFAULT_THRESHOLDS, mailRoot } = config;
  return { thresholds, mailRoot, now: machine.clock.now() };
}

/** Carries out removals accepted at this node at once, without the server. */
export async function acceptHere(session: Session, replica: Replica): Promise<boolean> {
  const { accepted } = await readNotes(replica);
  const { meta, withheld } = replica;
  if (accepted === undefined || meta === undefined || meta.ready !== 1) return false;
  if (accepted.history !== meta.history || withheld.addresses === 0) {
    await writeNotes(replica, { accepted: undefined });
    return false;
  }
  const applied = await applyIncoming(session.place, replica, undefined, applyOptions(session));
  logApplied(session.machine, replica, applied);
  return true;
}

/** Applies the server's answer, and removals that the server accepts. @returns the changes; undefined if there were none */
export async function applyAnswer(
  session: Session,
  replica: Replica,
  answer: MapsAnswer<Incoming>,
  notes: Notes,
): Promise<Applied | undefined> {
  const { machine, config, place } = session;
  const { withheld } = replica;
  const accepted = config.acceptLocally === true ? undefined : answer.accepted;
  if (accepted !== answer.accepted && answer.acceptedAnew && withheld.addresses > 0) {
    machine.log(
      `the server accepts the withheld removals, but with --accept local only this command accepts them: m25-mail-node accept --out ${config.out}`,
    );
  }
  const concerns = withheld.addresses > 0 && (acceptedRevision(accepted) ?? -1) >= withheld.first;
  if (answer.taken === undefined && !(concerns && accepted !== (notes.ledger?.ignored ?? undefined))) {
    await confirm(session, replica, notes);
    return undefined;
  }
  const options = { ...applyOptions(session), accepted };
  const applied = await applyIncoming(place, replica, answer.taken, options);
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
    await readState(replica);
  }
  if (ledger !== before || notes.returned !== undefined)
    await writeNotes(replica, { ledger, returned: undefined });
}

/**
 * Ends the sessions of users whose mailbox, password or quota has changed or is gone. Keeps the note of those that may still
 * be open. That holds while Dovecot is away, too: its processes for IMAP may outlive it.
 */
export async function endLogins({ machine, daemons }: Session, replica: Replica): Promise<void> {
  // An mx need not have a Dovecot that answers. A note from its time as a mail node waits for that role.
  if (replica.meta?.role === "mx") return;
  const { ending } = await readNotes(replica);
  if (ending === undefined) return;
  if (daemons.doveadm === undefined)
    machine.log("doveadm is not installed: open sessions of changed and removed users are not ended");
  const open = daemons.doveadm === undefined ? [] : await endSessions(machine, daemons.doveadm, ending);
  if (open.length < ending.length)
    await writeNotes(replica, { ending: open.length === 0 ? undefined : open });
}

/** @returns the contradiction to the applied state; undefined if there is none */
export async function lookUp(session: Session, replica: Replica): Promise<Outcome | undefined> {
  const { machine, daemons } = session;
  const { unproved } = await readNotes(replica);
  if (unproved === undefined) return undefined;
  const { contradiction, silence } = await lookUpChanges(machine, daemons, replica, unproved);
  if (silence === null && session.dovecot !== null && daemons.doveadm !== undefined)
    machine.log("Dovecot answers again");
  session.dovecot = silence;
  if (contradiction !== undefined) return { status: "failed", ...contradiction };
  if (silence === null) await writeNotes(replica, { unproved: undefined });
  return undefined;
}

/**
 * True if the update changed nothing that the node serves. The cursor counts too: while removals are withheld, it tells which
 * part of the state the node must have.
 */
export function isSameService(
  before: Replica["meta"],
  now: Replica["meta"],
  { addresses }: Applied,
): boolean {
  const same = (["role", "history", "revision", "digest", "cursor"] as const).every(
    (name) => before?.[name] === now?.[name],
  );
  return same && addresses.removed === 0;
}

export function logApplied(
  machine: Machine,
  { meta }: Replica,
  { revision, domains, addresses, withheld }: Applied,
): void {
  const { users = 0, aliases = 0, domain_aliases = 0 } = meta ?? {};
  const served = `domains: ${meta?.domains ?? 0}, addresses: ${users + aliases + domain_aliases + withheld}`;
  machine.log(`applied revision ${revision}: ${summarize(domains, addresses)}; ${served}`);
}

/** A plan's numbers in one line. */
export function summarize(domains: Applied["domains"], addresses: Applied["addresses"]): string {
  const parts = (
    [
      [domains.added, "domain", "added"],
      [addresses.added, "address", "added"],
      [addresses.changed, "address", "changed"],
      [addresses.removed, "address", "removed"],
      [domains.removed, "domain", "removed"],
    ] as const
  ).flatMap(([number, noun, verb]) => (number === 0 ? [] : [`${count(number, noun)} ${verb}`]));
  return parts.length === 0 ? "no address and no domain differs" : parts.join(", ");
}
