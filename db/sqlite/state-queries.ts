import type { Counts } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import type { View } from "../../src/sync/view.ts";
import type { StateSummary } from "../store.ts";
import type { Connection } from "./connection.ts";

export interface StateRow {
  history: string;
  revision: number;
  digest: string;
  mx_digest: string;
  cursor_key: string;
  domain_count: number;
  user_count: number;
  node_version: number;
}

/** The queries of the sync, prepared on one connection. */
export class StateQueries {
  readonly #connection: Connection;
  readonly #state;
  readonly #parts;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#state = connection.prepare<[], StateRow>("SELECT * FROM state");
    this.#parts = connection.prepare<[string], { digest: string; mx_digest: string; user_count: number }>(
      "SELECT digest, mx_digest, user_count FROM domains WHERE name IN (SELECT value FROM json_each(?))",
    );
  }

  stateRow(): StateRow {
    const row = this.#state.get();
    if (row === undefined) throw new Error("the state row is missing");
    return row;
  }

  summary({ role, domains }: View, row: StateRow): StateSummary {
    const { history, revision, digest: wholeDigest } = row;
    if (domains === null) {
      const counts = { domains: row.domain_count, users: row.user_count };
      return { history, revision, wholeDigest, digest: role === "mx" ? row.mx_digest : wholeDigest, counts };
    }
    const sum = new StateDigest();
    const counts: Counts = { domains: 0, users: 0 };
    for (const part of this.#parts.all(JSON.stringify(domains))) {
      sum.addDigest(StateDigest.fromHex(role === "mx" ? part.mx_digest : part.digest));
      counts.domains += 1;
      counts.users += part.user_count;
    }
    return { history, revision, wholeDigest, digest: sum.toString(), counts };
  }

  /** Runs `fn` in one read transaction. */
  consistently<T>(fn: () => T): T {
    return this.#connection.transaction(fn).deferred();
  }
}

export function namesOf({ domains }: View): string | null {
  return domains === null ? null : JSON.stringify(domains);
}

/** SQLite builds the lines, so that a million rows never become a million objects. The text equals canonicalLine's. */
export const DOMAIN_LINE = `'{"domain":"' || name || '"}' || char(10)`;
export const USER_LINES: Record<NodeRole, string> = {
  mail: `'{"user":"' || local_part || '@' || name || '","password":"' || password_hash ||
    '","quota_mb":' || quota_mb || ',"mailbox":"' || mailbox || '"}' || char(10)`,
  mx: `'{"user":"' || local_part || '@' || name || '"}' || char(10)`,
};

/** Rows in the order of a delta: domains set, users set, users removed, domains removed. `names` null is all domains. */
export function changeQueries(connection: Connection, role: NodeRole) {
  const ofView = (name: string) => `(@names IS NULL OR ${name} IN (SELECT value FROM json_each(@names)))`;
  // The + stops SQLite from scanning all removals of the kind instead of those after the revision.
  const removals = (kind: string, name: string) =>
    `SELECT '{"${kind}":"' || name || '","removed":true}' || char(10) FROM removals
     WHERE revision > @revision AND +kind = '${kind}' AND ${ofView(name)} LIMIT @limit`;
  return [
    `SELECT ${DOMAIN_LINE} FROM domains WHERE revision > @revision AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    `SELECT ${USER_LINES[role]} FROM users JOIN domains ON domains.id = users.domain_id
     WHERE users.revision > @revision AND active = 1 AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    removals("user", "substr(name, instr(name, '@') + 1)"),
    removals("domain", "name"),
  ].map((text) =>
    connection.prepare<{ revision: number; names: string | null; limit: number }, string>(text).pluck(),
  );
}
