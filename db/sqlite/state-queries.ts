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
  alias_count: number;
  domain_alias_count: number;
  shared_digest: string;
  shared_mx_digest: string;
  shared_count: number;
  node_version: number;
}

interface Part {
  digest: string;
  mx_digest: string;
  user_count: number;
  alias_count: number;
  domain_alias_count: number;
}

/** The queries of the sync, prepared on one connection. */
export class StateQueries {
  readonly #connection: Connection;
  readonly #state;
  readonly #parts;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#state = connection.prepare<[], StateRow>("SELECT * FROM state");
    this.#parts = connection.prepare<[string], Part>(
      `SELECT digest, mx_digest, user_count, alias_count, domain_alias_count FROM domains
       WHERE name IN (SELECT value FROM json_each(?))`,
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
      const counts = {
        domains: row.domain_count,
        users: row.user_count,
        aliases: row.alias_count + row.shared_count,
        domain_aliases: row.domain_alias_count,
      };
      return { history, revision, wholeDigest, digest: role === "mx" ? row.mx_digest : wholeDigest, counts };
    }
    const sum = StateDigest.fromHex(role === "mx" ? row.shared_mx_digest : row.shared_digest);
    const counts: Counts = { domains: 0, users: 0, aliases: row.shared_count, domain_aliases: 0 };
    for (const part of this.#parts.all(JSON.stringify(domains))) {
      sum.addDigest(StateDigest.fromHex(role === "mx" ? part.mx_digest : part.digest));
      counts.domains += 1;
      counts.users += part.user_count;
      counts.aliases += part.alias_count;
      counts.domain_aliases += part.domain_alias_count;
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
const APP_PASSWORDS = `iif(app_passwords IS NULL, '', ',"app_passwords":' || (SELECT json_group_object(value ->> 'selector',
    value ->> 'hash') FROM json_each(app_passwords)))`;
export const USER_LINES: Record<NodeRole, string> = {
  mail: `'{"user":"' || local_part || '@' || name || '","password":"' || password_hash ||
    '","quota_mb":' || quota_mb || ',"mailbox":"' || mailbox || '"' || ${APP_PASSWORDS} || '}' || char(10)`,
  mx: `'{"user":"' || local_part || '@' || name || '"}' || char(10)`,
};

export const ALIAS_LINES: Record<NodeRole, string> = {
  mail: `'{"alias":"' || local_part || '@' || coalesce(name, '') || '","targets":' || live || ',"send_as":' ||
    iif(send_as, 'true', 'false') || '}' || char(10)`,
  mx: `'{"alias":"' || local_part || '@' || coalesce(name, '') || '","live":' || iif(live <> '[]', 'true', 'false') ||
    '}' || char(10)`,
};
export const DOMAIN_ALIAS_LINE = `'{"domain_alias":"' || domain_aliases.name || '","of":"' || domains.name || '"}' || char(10)`;

/** The domain alias that a removal names. */
const ALIAS_NAME = "substr(removals.name, 1, instr(removals.name, ' ') - 1)";

/** The tables that a delta reads. Each has the revision of a row's last change. */
const changedTables = ["domains", "users", "aliases", "domain_aliases", "removals"] as const;
type ChangedTable = (typeof changedTables)[number];

/** How many rows of each table changed after a revision; none more than `limit`. */
export type ChangedRows = Record<ChangedTable, number>;

export function countChanges(connection: Connection) {
  const counts = changedTables.map(
    (table) =>
      `(SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE revision > @revision LIMIT @limit)) AS ${table}`,
  );
  return connection.prepare<{ revision: number; limit: number }, ChangedRows>(`SELECT ${counts.join()}`);
}

/**
 * Rows in the order of a delta: what is set, domains first, then what is removed, domains last. `names` null is all domains.
 */
export function changeQueries(connection: Connection, role: NodeRole) {
  const ofView = (name: string) => `(@names IS NULL OR ${name} IN (SELECT value FROM json_each(@names)))`;
  // The + stops SQLite from scanning all removals of the kind instead of those after the revision.
  const removals = (kind: string, name: string) =>
    `SELECT '{"${kind}":"' || name || '","removed":true}' || char(10) FROM removals
     WHERE revision > @revision AND +kind = '${kind}' AND ${ofView(name)} LIMIT @limit`;
  const nameAfter = (separator: string) => `substr(name, instr(name, '${separator}') + 1)`;
  const ofAlias = `SELECT 1 FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
    WHERE domain_aliases.name = ${ALIAS_NAME} AND ${ofView("domains.name")}`;
  const texts: [ChangedTable, string][] = [
    [
      "domains",
      `SELECT ${DOMAIN_LINE} FROM domains WHERE revision > @revision AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    ],
    [
      "users",
      `SELECT ${USER_LINES[role]} FROM users JOIN domains ON domains.id = users.domain_id
       WHERE users.revision > @revision AND active = 1 AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    ],
    [
      "aliases",
      `SELECT ${ALIAS_LINES[role]} FROM aliases LEFT JOIN domains ON domains.id = aliases.domain_id
       WHERE aliases.revision > @revision AND erase_after IS NULL AND (name IS NULL OR ${ofView("name")}) LIMIT @limit`,
    ],
    [
      "domain_aliases",
      `SELECT ${DOMAIN_ALIAS_LINE} FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
       WHERE domain_aliases.revision > @revision AND ${ofView("domains.name")} LIMIT @limit`,
    ],
    ["removals", removals("user", nameAfter("@"))],
    [
      "removals",
      // The alias @ belongs to no domain: every node has it.
      `SELECT '{"alias":"' || name || '","removed":true}' || char(10) FROM removals
       WHERE revision > @revision AND +kind = 'alias' AND (name = '@' OR ${ofView(nameAfter("@"))}) LIMIT @limit`,
    ],
    [
      "removals",
      // A domain alias that went from one domain to another has a removal for each, and may be back: the last name stands for all.
      `SELECT '{"domain_alias":"' || ${ALIAS_NAME} || '","removed":true}' || char(10) FROM removals
       WHERE revision > @revision AND +kind = 'domain_alias' AND ${ofView(nameAfter(" "))} AND NOT EXISTS (${ofAlias})
         AND NOT EXISTS (SELECT 1 FROM removals AS later WHERE later.kind = 'domain_alias' AND later.name > removals.name
           AND later.name < ${ALIAS_NAME} || '!' AND later.revision > @revision AND ${ofView("substr(later.name, instr(later.name, ' ') + 1)")})
       LIMIT @limit`,
    ],
    ["removals", removals("domain", "name")],
  ];
  return texts.map(([table, text]) => ({
    table,
    rows: connection.prepare<{ revision: number; names: string | null; limit: number }, string>(text).pluck(),
  }));
}
