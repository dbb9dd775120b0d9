import { acceptedRevision } from "../sync/acceptance.ts";
import type { MailState } from "../sync/answer.ts";
import { StateDigest } from "../sync/digest.ts";
import type { AddressRecord, DomainRecord, UserRecord } from "../sync/records.ts";

/**
 * The rule that no server can empty a node by mistake.
 *
 * Each user that this node stops serving is entered in a ledger under the hour in which that was. A user that the
 * server no longer has may go as long as all who went within the last 24 hours, those who would go now included
 * and those who came back not counted, are at most `users` or at most `percent` of the largest number of users
 * that was served within these 24 hours; and whoever served at most `users` in all that time may lose them all.
 * Otherwise every removal of the answer is withheld: its users stay in service as they were, their domains with
 * them, while everything else of the answer is applied. What is withheld stays so, and every removal after it is
 * withheld too, until the user comes back or an operator accepts removals up to that revision; then these go,
 * the ledger starts anew from what is left, and whatever else goes is measured against that. What another
 * history, role, key or list of domains leaves out is a removal like any other. Hours are not those of the
 * clock but counted ones: an hour passes when the server is heard an hour or more after the last passed. So a
 * clock that jumps a year on is one hour and one that jumps back is none, and a node that was switched off for
 * a week has not forgotten anything.
 */
export interface Thresholds {
  percent: number;
  users: number;
}

export const DEFAULT_THRESHOLDS: Thresholds = { percent: 20, users: 5 };

/** Counted hours. */
const WINDOW = 24;
const HOUR = 3_600_000;
/** How many histories are remembered that were left. */
const HISTORIES = 16;

type AnyUser = UserRecord | AddressRecord;

/** A user whom the server no longer has and who is served all the same. */
export interface Withheld {
  record: AnyUser;
  /** Of the server's state that the user was first missing from. */
  revision: number;
}

/** What was served and lost within the last counted hours. */
export interface Ledger {
  /** The counted hour of the last change. */
  hour: number;
  /** By hour: the largest number of users served. */
  peaks: ReadonlyMap<number, number>;
  /** By user: the hour in which the service ended. */
  gone: ReadonlyMap<string, number>;
  /** The histories before the server's, the last one last: whoever is sent one of them again follows two servers. */
  left: readonly string[];
  /** An acceptance that stood there when a new history began: it was meant for another one. */
  ignored: string | null;
}

/** All that a node keeps: the server's state as it was proved, and what it serves besides and why. */
export interface Kept {
  server: MailState;
  withheld: ReadonlyMap<string, Withheld>;
  ledger: Ledger;
}

export interface Circumstances {
  /** The counted hour. */
  hour: number;
  thresholds: Thresholds;
  /** The server says that removals were accepted: acceptance.ts. */
  accepted?: string | undefined;
  /** Up to this revision removals were accepted on this node, of the history that it has. */
  acceptedHere?: number | undefined;
}

/** What to serve once the server's state is `server`. Pure, so that a run after a crash comes to the same. */
export function settle(before: Kept | undefined, server: MailState, circumstances: Circumstances): Kept {
  const { hour, thresholds, accepted, acceptedHere } = circumstances;
  if (before === undefined) {
    const peaks = new Map([[hour, server.users.size]]);
    const ledger = { hour, peaks, gone: new Map(), left: [], ignored: null };
    return { server, withheld: new Map(), ledger };
  }
  const known = before.server.history === server.history;
  const left = known ? before.ledger.left : leave(before);
  const ignored = known ? before.ledger.ignored : (accepted ?? null);
  const missing = new Map<string, Withheld>();
  for (const [user, { record, revision }] of before.withheld) {
    // In another history the numbers mean something else.
    if (!server.users.has(user)) missing.set(user, { record, revision: known ? revision : server.revision });
  }
  const alreadyWithheld = missing.size > 0;
  for (const [user, record] of before.server.users) {
    if (!server.users.has(user)) missing.set(user, { record, revision: server.revision });
  }
  const gone = new Map<string, number>();
  for (const [user, since] of before.ledger.gone) {
    if (isRecent(since, hour) && !server.users.has(user) && !missing.has(user)) gone.set(user, since);
  }
  const served = before.server.users.size + before.withheld.size;
  const peaks = new Map([...before.ledger.peaks].filter(([since]) => isRecent(since, hour)));
  raise(peaks, hour, served);

  const conclude = (withheld: ReadonlyMap<string, Withheld>): Kept => {
    for (const user of missing.keys()) if (!withheld.has(user)) gone.set(user, hour);
    raise(peaks, hour, server.users.size + withheld.size);
    return { server, withheld, ledger: { hour, peaks, gone, left, ignored } };
  };
  if (!alreadyWithheld && !isBeyond(gone.size + missing.size, peaks, thresholds)) return conclude(new Map());

  const heard = accepted === ignored ? undefined : acceptedRevision(accepted);
  const limit = Math.max(heard ?? -1, known ? (acceptedHere ?? -1) : -1);
  const stay = new Map([...missing].filter(([, { revision }]) => revision > limit));
  if (stay.size === missing.size) return conclude(missing);
  peaks.clear();
  gone.clear();
  raise(peaks, hour, served - (missing.size - stay.size));
  const withheld = isBeyond(stay.size, peaks, thresholds) ? stay : new Map<string, Withheld>();
  const next = conclude(withheld);
  // Those who were accepted are no loss to be counted again.
  for (const user of missing.keys()) if (!stay.has(user)) gone.delete(user);
  return next;
}

function leave({ server, ledger }: Kept): string[] {
  const others = ledger.left.filter((history) => history !== server.history);
  // What was read from the daemons' own files is of no history.
  return [...others, server.history].filter((history) => history !== "").slice(-HISTORIES);
}

/**
 * True when a node that has left `history` is sent it again. A restore always begins a new one: so this is an old copy
 * of the database that answers in turn with the one that this node follows, or one that was put back by hand.
 */
export function isReturn({ server, ledger }: Kept, history: string): boolean {
  return history !== server.history && ledger.left.includes(history);
}

function isBeyond(lost: number, peaks: ReadonlyMap<number, number>, { percent, users }: Thresholds): boolean {
  const peak = Math.max(...peaks.values());
  return lost > users && peak > users && Math.min(lost, peak) * 100 > percent * peak;
}

function isRecent(since: number, hour: number): boolean {
  return hour - since < WINDOW;
}

function raise(peaks: Map<number, number>, hour: number, users: number): void {
  peaks.set(hour, Math.max(peaks.get(hour) ?? 0, users));
}

/** The state whose files are in service: the server's, and whoever is withheld, with their domains. */
export function servedOf({ server, withheld }: Kept): MailState {
  if (withheld.size === 0) return server;
  const domains = new Map<string, DomainRecord>(server.domains);
  const users = new Map<string, AnyUser>(server.users);
  const digest = StateDigest.fromHex(server.digest);
  for (const [user, { record }] of withheld) {
    const domain = user.slice(user.indexOf("@") + 1);
    if (!domains.has(domain)) {
      domains.set(domain, { domain });
      digest.add({ domain });
    }
    users.set(user, record);
    digest.add(record);
  }
  return { ...server, digest: digest.toString(), domains, users };
}

/** Counted hours, and when the last one passed. */
export interface Hours {
  count: number;
  /** RFC 3339. */
  at: string;
}

/** To be asked whenever the server was heard. */
export function passHour(hours: Hours, now: number): Hours {
  const age = now - Date.parse(hours.at);
  if (Math.abs(age) < HOUR) return hours;
  return { count: age > 0 ? hours.count + 1 : hours.count, at: new Date(now).toISOString() };
}
