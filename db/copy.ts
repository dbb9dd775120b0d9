import { copiedTables } from "./copied-tables.ts";
import { isPostgresql } from "./location.ts";
import { createSqliteCopy, readSqlite } from "./sqlite/copy.ts";

/**
 * Copies everything to an empty database, of the other engine or of the same: ids, hashes, keys, tokens, history and audit log stay,
 * so nodes and clients notice nothing. No server may change the source meanwhile, or afterwards.
 *
 * @returns the number of rows
 * @throws MailError unavailable; invalid_input when the target is not empty
 */
export async function copyDatabase(
  from: string,
  to: string,
  passwordFile: string | undefined,
): Promise<number> {
  const source = await (isPostgresql(from)
    ? import("./postgres/copy.ts").then(({ readPostgresql }) => readPostgresql(from, passwordFile))
    : readSqlite(from));
  try {
    const target = await (isPostgresql(to)
      ? import("./postgres/copy.ts").then(({ fillPostgresql }) => fillPostgresql(to, passwordFile))
      : createSqliteCopy(to));
    try {
      let copied = 0;
      for (const table of copiedTables) {
        for await (const rows of source.rows(table)) {
          await target.add(table, rows);
          copied += rows.length;
        }
      }
      await target.finish();
      return copied;
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}
