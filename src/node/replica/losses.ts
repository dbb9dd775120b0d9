import { acceptedRevision } from "../../sync/acceptance.ts";

/**
 * The rule that no server can empty a node by mistake.
 *
 * A ledger records each mailbox that this node stops serving, with its hour. Removals go through while the number of
 * mailboxes gone within the last 24 hours is at most `users`, or at most `percent` of the largest number served within these
 * hours. The number includes the answer's own removals, and excludes mailboxes that came back. A node that served at most `users` in that time may lose all.
 *
 * Otherwise the node withholds all removals of the answer and applies the rest: the addresses and their domains stay in
 * service, so that no mail bounces. A withheld mailbox that was removed by name loses its login at once; one that is merely
 * absent (another history, role or list of domains, a restored database) keeps it.
 *
 * While removals are withheld, later ones are withheld too. A mailbox stays until it comes back, or until an operator
 * accepts removals up to its revision. Accepted ones go, and the ledger starts again with the rest.
 *
 * A mailbox that comes under another address in the same answer is not gone. Only a mail node can tell: an mx has no ids.
 *
 * Hours are counted, not taken from the clock: one passes when the server answers an hour or more after the last one. A
 * clock that jumps a year ahead adds one hour, and one that jumps back adds none. A node that was off for a week remembers.
 */
export interface Thresholds {
  percent: number;
  users: number;
}

export const DEFAULT_THRESHOLDS: Thresholds = { percent: 20, users: 5 };

/** Counted hours that the ledger covers. */
export const WINDOW = 24;
const HOUR = 3_600_000;
/** Number of left histories to remember. */
const HISTORIES = 16;

/** The mailboxes that the node would lose by an answer or an acceptance; all are numbers. */
export interface Loss {
  /** In service before it. */
  served: number;
  /** Gone within the last WINDOW hours and not back. */
  gone: number;
  /** The largest number served within these hours. */
  peak: number;
  /** In service now, and gone from the server by this answer. */
  fresh: number;
  /** Withheld before, and not back. */
  withheld: number;
  /** Part of `fresh` and `withheld`: removals up to the accepted revision. */
  accepted: number;
}

/** The decision about mailboxes that the server no longer has. */
export interface Verdict {
  /** True if accepted removals go uncounted, and the ledger starts again. */
  anew: boolean;
  /** True if the other mailboxes stay; else they go and are counted. */
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

/** A node's record of histories and hours. */
export interface Ledger {
  /** Counted hours, and when the last one passed (RFC 3339). */
  hours: { count: number; at: string };
  /** The left histories, the latest last. If one of them is sent again, two servers answer in turn. */
  left: readonly string[];
  /** The acceptance at the beginning of a new history, to ignore: it was meant for another history. */
  ignored: string | null;
  /** The time since which mailboxes are withheld (RFC 3339); null if none are. */
  withheldSince: string | null;
}

export function firstLedger(now: number): Ledger {
  const at = new Date(now).toISOString();
  return { hours: { count: 0, at }, left: [], ignored: null, withheldSince: null };
}

/** Call it after each answer of the server. */
export function passHour(ledger: Ledger, now: number): Ledger {
  const { count, at } = ledger.hours;
  const age = now - Date.parse(at);
  if (Math.abs(age) < HOUR) return ledger;
  return { ...ledger, hours: { count: age > 0 ? count + 1 : count, at: new Date(now).toISOString() } };
}

/** @param accepted the server's acceptance at that moment */
export function leaveHistory(ledger: Ledger, history: string, accepted: string | undefined): Ledger {
  // A state made from the addresses alone has no history.
  const left = [...ledger.left.filter((one) => one !== history), history].filter((one) => one !== "");
  return { ...ledger, left: left.slice(-HISTORIES), ignored: accepted ?? null };
}

/** The revision up to which the server accepts removals; -1 for none. */
export function acceptedUpTo({ ignored }: Ledger, accepted: string | undefined): number {
  return accepted === (ignored ?? undefined) ? -1 : (acceptedRevision(accepted) ?? -1);
}
