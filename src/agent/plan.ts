import type { MailState } from "../sync/answer.ts";
import type { AddressRecord, UserRecord } from "../sync/records.ts";
import { count } from "./words.ts";

/** What changes for a user who stays. Quotas in MiB. */
export interface UserChange {
  user: string;
  password: boolean;
  quota?: { from: number; to: number };
  /** Another mailbox under the same address: a new home, without the old mail. */
  mailbox: boolean;
}

/** What it takes to go from the states that may be in service to the one that shall be. Holds no hash. */
export interface Plan {
  domains: { added: string[]; removed: string[] };
  /** Added is also who has a mailbox here now and was only relayed before. */
  users: { added: string[]; changed: UserChange[]; removed: string[] };
  /** Whose open sessions must end: those who are gone, or whose password or mailbox is another. */
  kicks: string[];
}

/**
 * Compares without doing anything.
 *
 * @param before the states whose files may be in service: none at first, one as a rule, two when
 *   an attempt in between stopped half way
 */
export function planUpdate(before: readonly MailState[], target: MailState): Plan {
  const changes = new Map<string, UserChange>();
  const compare = (old: AnyUser, record: AnyUser): boolean => {
    const change = changeOfUser(old, record);
    if (change !== undefined) changes.set(record.user, joined(changes.get(record.user), change));
    return lacksHash(old, record);
  };
  const users = differences(
    before.map((state) => state.users),
    target.users,
    compare,
  );
  const domains = differences(
    before.map((state) => state.domains),
    target.domains,
    () => false,
  );
  const changed = Array.from(changes.values()).sort((a, b) => (a.user < b.user ? -1 : 1));
  const plan: Plan = { domains, users: { ...users, changed }, kicks: [] };
  // An mx has no sessions.
  if (target.role === "mx") return plan;
  const lockedOut = changed.filter((change) => change.password || change.mailbox);
  plan.kicks = [...users.removed, ...lockedOut.map((change) => change.user)].sort();
  return plan;
}

/**
 * Added is what one of `before` lacks (all of them do, where there are none), or what is new to it by `isNew`. A delta
 * leaves the records themselves where nothing has changed, so that most of a million are passed over at a glance.
 */
function differences<T>(
  before: readonly ReadonlyMap<string, T>[],
  target: ReadonlyMap<string, T>,
  isNew: (old: T, record: T) => boolean,
): { added: string[]; removed: string[] } {
  const added = before.length === 0 ? new Set(target.keys()) : new Set<string>();
  const removed = new Set<string>();
  for (const records of before) {
    for (const [key, record] of target) {
      const old = records.get(key);
      if (old === record) continue;
      if (old === undefined || isNew(old, record)) added.add(key);
    }
    for (const key of records.keys()) if (!target.has(key)) removed.add(key);
  }
  return { added: [...added].sort(), removed: [...removed].sort() };
}

/** True for whom Postfix knows and Dovecot does not: those of a node that was an mx before. */
function lacksHash(old: AnyUser, record: AnyUser): boolean {
  return "password" in record && !("password" in old);
}

function joined(earlier: UserChange | undefined, change: UserChange): UserChange {
  const password = change.password || earlier?.password === true;
  const mailbox = change.mailbox || earlier?.mailbox === true;
  return { ...earlier, ...change, password, mailbox };
}

type AnyUser = UserRecord | AddressRecord;

/** Between two roles nothing of a user can be compared but that there is one. */
function changeOfUser(old: AnyUser, next: AnyUser): UserChange | undefined {
  if (!("password" in old && "password" in next)) return undefined;
  const password = old.password !== next.password;
  const mailbox = old.mailbox !== next.mailbox;
  const change: UserChange = { user: next.user, password, mailbox };
  if (old.quota_mb !== next.quota_mb) change.quota = { from: old.quota_mb, to: next.quota_mb };
  return password || mailbox || change.quota !== undefined ? change : undefined;
}

/** The plan in plain lines, for --dry-run. */
export function* describePlan(plan: Plan): Iterable<string> {
  const { domains, users, kicks } = plan;
  for (const domain of domains.added) yield `add domain ${domain}`;
  for (const user of users.added) yield `add user ${user}`;
  for (const change of users.changed) yield `change user ${change.user}: ${describeChange(change)}`;
  for (const user of users.removed) yield `remove user ${user}`;
  for (const domain of domains.removed) yield `remove domain ${domain}`;
  for (const user of kicks) yield `end open sessions of ${user}`;
}

function describeChange({ password, quota, mailbox }: UserChange): string {
  const words: string[] = [];
  if (password) words.push("new password");
  if (quota !== undefined) words.push(`quota ${quota.from} to ${quota.to} MiB`);
  if (mailbox) words.push("new mailbox");
  return words.join(", ");
}

/** The plan in one line of numbers. */
export function summarize({ domains, users }: Plan): string {
  const parts = [
    part(domains.added.length, "domain", "added"),
    part(users.added.length, "user", "added"),
    part(users.changed.length, "user", "changed"),
    part(users.removed.length, "user", "removed"),
    part(domains.removed.length, "domain", "removed"),
  ].filter((words) => words !== "");
  return parts.length === 0 ? "no user and no domain differs" : parts.join(", ");
}

function part(number: number, noun: string, verb: string): string {
  return number === 0 ? "" : `${count(number, noun)} ${verb}`;
}
