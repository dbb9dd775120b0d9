import { acceptedRevision } from "../../sync/acceptance.ts";

/**
 * The rule that no server can empty a node by mistake.
 *
 * Each mailbox that this node stops serving is entered in a ledger under the hour in which that was. A mailbox that the
 * server no longer has may go as long as all that went within the last 24 hours, those that would go now included and those
 * that came back not counted, are at most `users` or at most `percent` of the largest number of mailboxes that was served
 * within these 24 hours; and a node that served at most `users` in all that time may lose them all. Otherwise every removal
 * of the answer is withheld: the addresses stay in service, so that no mail bounces, their domains with them, while
 * everything else of the answer is applied. A withheld mailbox that somebody removed by name has no login from that moment
 * on; one that is merely absent (another history, role or list of domains, a restored database) keeps it.
 *
 * What is withheld stays so, and every removal after it is withheld too, until the mailbox comes back or an operator accepts
 * removals up to that revision; then these go, the ledger starts anew from what is left, and whatever else goes is measured
 * against that. Hours are not those of the clock but counted ones: an hour passes when the server is heard an hour or more
 * after the last passed. So a clock that jumps a year on is one hour and one that jumps back is none, and a node that was
 * switched off for a week has not forgotten anything.
 */
export interface Thresholds {
  percent: number;
  users: number;
}

export const DEFAULT_THRESHOLDS: Thresholds = { percent: 20, users: 5 };

/** Counted hours for which the ledger remembers. */
export const WINDOW = 24;
const HOUR = 3_600_000;
/** How many histories are remembered that were left. */
const HISTORIES = 16;

/** What an answer, or an acceptance, would take from the node; numbers of mailboxes. */
export interface Loss {
  /** In service before it. */
  served: number;
  /** Gone within the last counted hours and not back. */
  gone: number;
  /** The most that were served within these hours. */
  peak: number;
  /** In service now and no longer the server's, by this answer. */
  fresh: number;
  /** Withheld before, and not back. */
  withheld: number;
  /** Of `fresh` and `withheld` together: those of a revision up to the one that was accepted. */
  accepted: number;
}

/** What becomes of the mailboxes that the server no longer has. */
export interface Verdict {
  /** True where those that were accepted go uncounted, and the ledger starts anew. */
  anew: boolean;
  /** True where the others stay; else they go, and are counted. */
  withhold: boolean;
}

export function judgeLoss(loss: Loss, thresholds: Thresholds): Verdict {
  const { served, gone, peak, fresh, withheld, accepted } = loss;
  if (withheld === 0 && !isBeyond(gone + fresh, Math.max(peak, served), thresholds))
    return { anew: false, withhold: false };
  if (accepted === 0) return { anew: false, withhold: true };
  return { anew: true, withhold: isBeyond(fresh + withheld - accepted, served - accepted, thresholds) };
}

function isBeyond(lost: number, peak: number, { percent, users }: Thresholds): boolean {
  return lost > users && peak > users && Math.min(lost, peak) * 100 > percent * peak;
}

/** What a node remembers of histories and hours. */
export interface Ledger {
  /** Counted hours, and when the last one passed (RFC 3339). */
  hours: { count: number; at: string };
  /** The histories before the server's, the last one last: a node that is sent one of them again follows two servers. */
  left: readonly string[];
  /** An acceptance that stood there when a new history began: it was meant for another one. */
  ignored: string | null;
  /** Since when mailboxes are withheld (RFC 3339); null where none are. */
  withheldSince: string | null;
}

export function firstLedger(now: number): Ledger {
  const at = new Date(now).toISOString();
  return { hours: { count: 0, at }, left: [], ignored: null, withheldSince: null };
}

/** To be asked whenever the server was heard. */
export function passHour(ledger: Ledger, now: number): Ledger {
  const { count, at } = ledger.hours;
  const age = now - Date.parse(at);
  if (Math.abs(age) < HOUR) return ledger;
  return { ...ledger, hours: { count: age > 0 ? count + 1 : count, at: new Date(now).toISOString() } };
}

/** @param accepted the server's word at that moment */
export function leaveHistory(ledger: Ledger, history: string, accepted: string | undefined): Ledger {
  // What was made from the addresses alone is of no history.
  const left = [...ledger.left.filter((one) => one !== history), history].filter((one) => one !== "");
  return { ...ledger, left: left.slice(-HISTORIES), ignored: accepted ?? null };
}

/** Up to which revision the server's word lets removals go; -1 for none. */
export function acceptedUpTo({ ignored }: Ledger, accepted: string | undefined): number {
  return accepted === (ignored ?? undefined) ? -1 : (acceptedRevision(accepted) ?? -1);
}
