import type { CheckName } from "../../mail/node-checks.ts";
import type { Ledger } from "./losses.ts";
import type { Replica } from "./replica.ts";
import { literal } from "./sqlite.ts";

/** The outcome of the last poll, for `status`. */
export interface LastPoll {
  /** RFC 3339. */
  at: string;
  exit_code: number;
  /** The HTTP status of the server's answer about the maps; null without one. */
  answer: number | null;
  /** As in the report, if something was refused, withheld or failed. */
  reason: string | null;
  /** The reason's number. */
  count: number | null;
  /** The log line about it, for people on this machine. */
  message: string | null;
  /** Why Dovecot did not answer its last question, which follows each change; null if it did. */
  dovecot: string | null;
}

/** Added and removed keys to look up. */
export interface Changes {
  domains: { added: string[]; removed: string[] };
  users: { added: string[]; removed: string[] };
  aliases: { added: string[]; removed: string[] };
}

/** The program's notes in the state, as JSON. */
export interface Notes {
  ledger?: Ledger;
  /** An operator's acceptance at this node of removals of this history up to this revision. */
  accepted?: { history: string; revision: number };
  /** A left history with which the server answered, and how many times in a row. */
  returned?: { history: string; times: number };
  /** Keys to look up before the server is told that they are in service. */
  unproved?: Changes;
  /** Users whose open sessions must end, and may not have ended yet. */
  ending?: readonly string[];
  poll?: LastPoll;
  /** When the server last received the report that this state is in service, the public part of that time's key, the checks and limited mailboxes in it. */
  reported?: {
    at: string;
    key: string | null;
    checks?: CheckName[] | undefined;
    limited?: string[] | undefined;
  };
  /** On an mx that still has its former logins: the counted hours of their last use and last check. */
  former?: { used: number; asked: number };
}

type Changed = { [Name in keyof Notes]: Notes[Name] | undefined };

/** The schema of the notes: the state, or the addresses while there is no state. */
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

/** @returns the keys to look up, earlier ones first unless they have changed since; undefined for none */
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
  const merged = {
    domains: merge(earlier?.domains, now.domains),
    users: merge(earlier?.users, now.users),
    aliases: merge(earlier?.aliases, now.aliases),
  };
  const kinds = Object.values(merged);
  return kinds.every(({ added, removed }) => added.length + removed.length === 0) ? undefined : merged;
}

/** Earlier keys of a kind to look up again. */
const KEPT = 5;
