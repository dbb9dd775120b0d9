import { randomBytes } from "node:crypto";
import type pg from "pg";
import { MailError } from "../../src/mail/error.ts";
import { SCHEMA } from "./connections.ts";
import { pooler } from "./errors.ts";
import { migrationsAfter, newest } from "./migrations/index.ts";
import { isStandby } from "./primary.ts";

/** pg_current_snapshot() came with it. */
const OLDEST = 13;

/**
 * Makes the tables, or migrates those of an older version. Servers that start at once do it one after the other.
 *
 * @throws MailError unavailable: PostgreSQL too old; a pooler; a standby; another program's database; no tables, and none wanted; tables of
 *   a newer version
 */
export async function prepare(client: pg.Client, address: string, create: boolean): Promise<void> {
  await refuseServer(client);
  const before = await versionOf(client);
  if (before === newest) return;
  if (before === undefined && !create) throw noTables(address);
  await client.query("BEGIN; SELECT pg_advisory_xact_lock(hashtext('m25_mail migration'))");
  try {
    await migrate(client, address, await versionOf(client));
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {}); // the error says more
    throw error;
  }
}

async function refuseServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: string; number: string; standby: boolean; path: string }>(
    `SELECT current_setting('server_version') AS version, current_setting('server_version_num') AS number,
       pg_is_in_recovery() AS standby, current_setting('search_path') AS path`,
  );
  const [{ version, number, standby, path } = { version: "", number: "0", standby: false, path: "" }] = rows;
  refuseOld(version, Number(number));
  if (path !== SCHEMA) throw pooler();
  if (standby) throw isStandby();
}

/**
 * @param number as 150004 for 15.4
 * @throws MailError unavailable
 */
export function refuseOld(version: string, number: number): void {
  if (number >= OLDEST * 10_000) return;
  throw new MailError(
    "unavailable",
    `PostgreSQL ${version} is too old: M25 Mail needs ${OLDEST} or later.`,
    "Nothing was changed. Upgrade PostgreSQL, or name another server.",
  );
}

/** The version of the tables; undefined without any. */
async function versionOf(client: pg.Client): Promise<number | undefined> {
  const there = await client.query<{ found: string | null }>("SELECT to_regclass($1)::text AS found", [
    `${SCHEMA}.schema_version`,
  ]);
  if (there.rows[0]?.found === null) return undefined;
  const { rows } = await client.query<{ version: number }>("SELECT version FROM schema_version");
  return rows[0]?.version;
}

async function migrate(client: pg.Client, address: string, version: number | undefined): Promise<void> {
  if (version === newest) return;
  if (version !== undefined && version > newest) {
    throw new MailError(
      "unavailable",
      `${address} was written by a newer version of M25 Mail (schema ${version}, this program knows ${newest}).`,
      "Install the newer version, or name another database.",
    );
  }
  if (version === undefined) {
    await refuseForeign(client, address);
    await client.query(`CREATE SCHEMA ${SCHEMA}; CREATE TABLE schema_version (version bigint NOT NULL)`);
  }
  for (const migration of migrationsAfter(version)) await client.query(migration);
  if (version === undefined) await makeState(client);
  await client.query("DELETE FROM schema_version");
  await client.query("INSERT INTO schema_version VALUES ($1)", [newest]);
}

/** Somebody may have named it by mistake. Tables of extensions, which many hosts bring along, are nobody's. */
async function refuseForeign(client: pg.Client, address: string): Promise<void> {
  const { rows } = await client.query(
    `SELECT 1 FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
     WHERE (relkind IN ('r', 'p') AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
         OR nspname = '${SCHEMA}')
       AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e') LIMIT 1`,
  );
  if (rows.length === 0) return;
  throw new MailError(
    "unavailable",
    `${address} has tables of another program.`,
    "Nothing was changed. Make a database of its own for M25 Mail with createdb, and name it.",
  );
}

/** Its keys are random, and so not part of the migration's text. */
async function makeState(client: pg.Client): Promise<void> {
  const zero = "0".repeat(64);
  await client.query(
    `INSERT INTO state (id, history, revision, digest, mx_digest, cursor_key, domain_count, user_count, inactive_user_count)
     VALUES (1, $1, 0, $2, $2, $3, 0, 0, 0)`,
    [randomBytes(16).toString("hex"), zero, randomBytes(32).toString("hex")],
  );
}

function noTables(address: string): MailError {
  return new MailError(
    "unavailable",
    `${address} has no tables of M25 Mail.`,
    "Name the database with --db or M25_MAIL_DB; m25-mail serve and m25-mail stdio make the tables.",
  );
}
