import type { NodeRole } from "../../src/sync/records.ts";
import type { View } from "../../src/sync/view.ts";

/** The database builds the lines, so that a million rows never become a million objects. The text equals canonicalLine's. */
const limitOf = (table: string) => `coalesce(',"sending_limit":' || ${table}.sending_limit, '')`;
export const DOMAIN_LINES: Record<NodeRole, string> = {
  mail: `'{"domain":"' || name || '"' || ${limitOf("domains")} || '}\n'`,
  mx: `'{"domain":"' || name || '"}\n'`,
};
const APP_PASSWORDS = `CASE WHEN app_passwords IS NULL THEN '' ELSE ',"app_passwords":{' || (SELECT string_agg(
    '"' || (value ->> 'selector') || '":"' || (value ->> 'hash') || '"', ',') FROM json_each(app_passwords)) ||
    '}' END`;
/** Few mailboxes have a value of the last two, and two empty texts in each line take a fifteenth of PostgreSQL's time. */
const FURTHER = `CASE WHEN app_passwords IS NULL AND users.sending_limit IS NULL THEN '"}\n'
    ELSE '"' || ${APP_PASSWORDS} || ${limitOf("users")} || '}\n' END`;
export const USER_LINES: Record<NodeRole, string> = {
  mail: `'{"user":"' || local_part || '@' || name || '","password":"' || password_hash ||
    '","quota_mb":' || quota_mb || ',"mailbox":"' || mailbox || ${FURTHER}`,
  mx: `'{"user":"' || local_part || '@' || name || '"}\n'`,
};
export const ALIAS_LINES: Record<NodeRole, string> = {
  mail: `'{"alias":"' || local_part || '@' || coalesce(name, '') || '","targets":' || live || ',"send_as":' ||
    CASE WHEN send_as = 1 THEN 'true' ELSE 'false' END || '}\n'`,
  mx: `'{"alias":"' || local_part || '@' || coalesce(name, '') || '","live":' ||
    CASE WHEN live <> '[]' THEN 'true' ELSE 'false' END || '}\n'`,
};
export const DOMAIN_ALIAS_LINE = `'{"domain_alias":"' || domain_aliases.name || '","of":"' || domains.name || '"}\n'`;

/** How an engine's statements write their parameters. */
export interface ChangeParameters {
  revision: string;
  names: string;
  limit: string;
}

/** The value of `names` for a view. */
export function namesOf({ domains }: View): string | null {
  return domains === null ? null : JSON.stringify(domains);
}

/** The domain alias that a removal names. */
const ALIAS_NAME = "substr(removals.name, 1, instr(removals.name, ' ') - 1)";

/** The tables that a delta reads. Each has the revision of a row's last change. */
const changedTables = ["domains", "users", "aliases", "domain_aliases", "removals"] as const;
type ChangedTable = (typeof changedTables)[number];

/** How many rows of each table changed after a revision; none more than `limit`. */
export type ChangedRows = Record<ChangedTable, number>;

export function changedRowsQuery({ revision, limit }: Omit<ChangeParameters, "names">): string {
  const counts = changedTables.map(
    (table) =>
      `(SELECT count(*) FROM (SELECT 1 FROM ${table} WHERE revision > ${revision} LIMIT ${limit}) AS changed) AS ${table}`,
  );
  return `SELECT ${counts.join()}`;
}

/** The number of all of them: rows that a view does not get cost time as well. */
export function sumOf(changed: ChangedRows): number {
  return Object.values(changed).reduce((sum, rows) => sum + rows);
}

/**
 * Queries for rows in the order of a delta: what is set, domains first, then what is removed, domains last. `names` null is
 * all domains.
 */
export function changeQueries(
  role: NodeRole,
  { revision, names, limit }: ChangeParameters,
): Array<{ table: ChangedTable; text: string }> {
  const ofView = (name: string) =>
    `(CAST(${names} AS text) IS NULL OR ${name} IN (SELECT value FROM json_each(${names})))`;
  // The || stops SQLite from scanning all removals of the kind instead of those after the revision.
  const removals = (kind: string, name: string) =>
    `SELECT '{"${kind}":"' || name || '","removed":true}\n' AS line FROM removals
     WHERE revision > ${revision} AND (kind || '') = '${kind}' AND ${ofView(name)} LIMIT ${limit}`;
  const nameAfter = (separator: string) => `substr(name, instr(name, '${separator}') + 1)`;
  const ofAlias = `SELECT 1 FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
    WHERE domain_aliases.name = ${ALIAS_NAME} AND ${ofView("domains.name")}`;
  const texts: Array<[ChangedTable, string]> = [
    [
      "domains",
      `SELECT ${DOMAIN_LINES[role]} AS line FROM domains
     WHERE revision > ${revision} AND erase_after IS NULL AND ${ofView("name")} LIMIT ${limit}`,
    ],
    [
      "users",
      `SELECT ${USER_LINES[role]} AS line FROM users JOIN domains ON domains.id = users.domain_id
     WHERE users.revision > ${revision} AND active = 1 AND erase_after IS NULL AND ${ofView("name")} LIMIT ${limit}`,
    ],
    [
      "aliases",
      `SELECT ${ALIAS_LINES[role]} AS line FROM aliases LEFT JOIN domains ON domains.id = aliases.domain_id
     WHERE aliases.revision > ${revision} AND erase_after IS NULL AND (name IS NULL OR ${ofView("name")}) LIMIT ${limit}`,
    ],
    [
      "domain_aliases",
      `SELECT ${DOMAIN_ALIAS_LINE} AS line FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
     WHERE domain_aliases.revision > ${revision} AND ${ofView("domains.name")} LIMIT ${limit}`,
    ],
    ["removals", removals("user", nameAfter("@"))],
    // The alias @ belongs to no domain: every node has it.
    [
      "removals",
      `SELECT '{"alias":"' || name || '","removed":true}\n' AS line FROM removals
     WHERE revision > ${revision} AND (kind || '') = 'alias' AND (name = '@' OR ${ofView(nameAfter("@"))}) LIMIT ${limit}`,
    ],
    // A domain alias that went from one domain to another has a removal for each, and may be back: the last name stands for all.
    [
      "removals",
      `SELECT '{"domain_alias":"' || ${ALIAS_NAME} || '","removed":true}\n' AS line FROM removals
     WHERE revision > ${revision} AND (kind || '') = 'domain_alias' AND ${ofView(nameAfter(" "))} AND NOT EXISTS (${ofAlias})
       AND NOT EXISTS (SELECT 1 FROM removals AS later WHERE later.kind = 'domain_alias' AND later.name > removals.name
         AND later.name < ${ALIAS_NAME} || '!' AND later.revision > ${revision}
         AND ${ofView("substr(later.name, instr(later.name, ' ') + 1)")})
     LIMIT ${limit}`,
    ],
    ["removals", removals("domain", "name")],
  ];
  return texts.map(([table, text]) => ({ table, text }));
}
