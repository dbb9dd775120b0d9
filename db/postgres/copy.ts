import { COPIED_ROWS, type CopySource, type CopyTarget, notEmpty } from "../copied-tables.ts";
import { Connections } from "./connections.ts";
import { prepare } from "./database.ts";
import { translated } from "./errors.ts";
import { READ, WRITE } from "./transactions.ts";

/** The copy holds one transaction for as long as it takes. */
const PATIENT = { query_timeout: 0 };

/** @throws MailError unavailable, as openPostgresql() */
export async function readPostgresql(address: string, passwordFile: string | undefined): Promise<CopySource> {
  const client = await new Connections(address, passwordFile).connect(async (one) => {
    await prepare(one, address, false);
    await one.query(`${READ}; SET LOCAL idle_in_transaction_session_timeout = 0`);
  }, PATIENT);
  return {
    async *rows(table) {
      await translated(() =>
        client.query(`DECLARE ${table}_rows NO SCROLL CURSOR FOR SELECT * FROM ${table} ${orderOf(table)}`),
      );
      for (;;) {
        const { rows } = await translated(() => client.query(`FETCH ${COPIED_ROWS} FROM ${table}_rows`));
        if (rows.length === 0) return;
        yield rows;
      }
    },
    close: () => client.end(),
  };
}

/** The audit log takes entries only in the order of their ids. */
function orderOf(table: string): string {
  return table === "audit_log" ? "ORDER BY id" : "";
}

/** @throws MailError unavailable, as openPostgresql(); invalid_input if it has any data */
export async function fillPostgresql(address: string, passwordFile: string | undefined): Promise<CopyTarget> {
  const client = await new Connections(address, passwordFile).connect(async (one) => {
    await prepare(one, address, true);
    await one.query(`${WRITE}; SET LOCAL idle_in_transaction_session_timeout = 0`);
    const { rows } = await one.query<{ used: boolean }>(
      `SELECT revision > 0 OR EXISTS (SELECT 1 FROM nodes) OR EXISTS (SELECT 1 FROM first_token)
         OR EXISTS (SELECT 1 FROM audit_log) AS used FROM state`,
    );
    if (rows[0]?.used !== false) throw notEmpty(address);
    await one.query("DELETE FROM state; DELETE FROM revisions; DELETE FROM audit_retention");
  }, PATIENT);
  return {
    async add(table, rows) {
      await translated(() =>
        client.query(
          `INSERT INTO ${table} SELECT * FROM jsonb_populate_recordset(NULL::${table}, $1::jsonb)`,
          [JSON.stringify(rows)],
        ),
      );
    },
    async finish() {
      await translated(async () => {
        for (const table of ["domains", "users", "aliases", "nodes", "tokens", "audit_log"]) {
          await client.query(
            `SELECT setval(pg_get_serial_sequence('${table}', 'id'), coalesce((SELECT max(id) FROM ${table}), 1))`,
          );
        }
        await client.query("COMMIT");
      });
    },
    close: () => client.end(), // rolls back what is not committed
  };
}
