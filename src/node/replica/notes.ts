import type { Ledger } from "./losses.ts";
import type { Replica } from "./replica.ts";
import { literal } from "./sqlite.ts";

/** What came of the last poll, for `status`. */
export interface LastPoll {
  /** RFC 3339. */
  at: string;
  exit_code: number;
  /** The HTTP status of the server's answer about the maps; null when there was none. */
  answer: number | null;
  /** As in the report, when something was refused, withheld or failed. */
  reason: string | null;
  /** How many the reason is about. */
  count: number | null;
  /** What was logged about it: for people, and only on this machine. */
  message: string | null;
  /** Why Dovecot did not say whom it knows when it was last asked, as after each change; null where it did. */
  dovecot: string | null;
}

/** Keys to look up: what came and what went. */
export interface Changes {
  domains: { added: string[]; removed: string[] };
  users: { added: string[]; removed: string[] };
}

/** What the node's program remembers in the state, as JSON. */
export interface Notes {
  ledger?: Ledger;
  /** An operator's word at this node: removals of this history up to this revision may go. */
  accepted?: { history: string; revision: number };
  /** How often in a row the server answered with a history that this node has left. */
  returned?: { history: string; times: number };
  /** What is to be looked up before the server is told that it is in service. */
  unproved?: Changes;
  poll?: LastPoll;
  /** When the server last took the report that this state is in service, and the public part of the key of then. */
  reported?: { at: string; key: string | null };
  /** On an mx that still has the logins of when it had mailboxes: the counted hours of their last use and last check. */
  former?: { used: number; asked: number };
}

type Changed = { [Name in keyof Notes]: Notes[Name] | undefined };

/** They stand in the state; until there is one, beside the addresses. */
function schemaOf({ stateName }: Replica): string {
  return stateName === undefined ? "addresses" : "state";
}

export async function readNotes(replica: Replica): Promise<Notes> {
  const notes = `SELECT json_group_object(name, json(value)) FROM ${schemaOf(replica)}.note;`;
  return (await replica.db.value<Notes>(notes)) ?? {};
}

/** One statement for each note: undefined forgets it. */
export function noteStatements(notes: Changed, schema = "state"): string[] {
  return Object.entries(notes).map(([name, value]) =>
    value === undefined
      ? `DELETE FROM ${schema}.note WHERE name = '${name}';`
      : `INSERT OR REPLACE INTO ${schema}.note VALUES ('${name}', ${literal(value)});`,
  );
}

export async function writeNotes(replica: Replica, notes: Changed): Promise<void> {
  await replica.db.run(noteStatements(notes, schemaOf(replica)).join("\n"));
}

/** @returns what to look up: earlier keys first, unless they have become something else; undefined for nothing */
export function mergeChanges(earlier: Changes | undefined, now: Changes): Changes | undefined {
  const merge = (old: Changes["users"] | undefined, fresh: Changes["users"]): Changes["users"] => {
    const join = (kept: readonly string[], added: readonly string[], other: readonly string[]): string[] => [
      ...new Set([...kept.filter((key) => !other.includes(key)).slice(0, KEPT), ...added]),
    ];
    return {
      added: join(old?.added ?? [], fresh.added, fresh.removed),
      removed: join(old?.removed ?? [], fresh.removed, fresh.added),
    };
  };
  const merged = { domains: merge(earlier?.domains, now.domains), users: merge(earlier?.users, now.users) };
  const kinds = [merged.domains.added, merged.domains.removed, merged.users.added, merged.users.removed];
  return kinds.every((keys) => keys.length === 0) ? undefined : merged;
}

/** Earlier keys of a kind that are looked up again. */
const KEPT = 5;
