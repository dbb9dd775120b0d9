import type { SqliteDatabase } from "kysely";
import type { Connection } from "./connection.ts";

/** Maximum number of cached statements. The program has about fifty; lists of ids of any length can add more. */
const KEPT = 200;

/**
 * A connection for Kysely that caches prepared statements. Kysely itself prepares each query anew, which takes several
 * times as long as running it. Kysely finishes each query before the next, so one statement per text is enough.
 */
export function cachedStatements(connection: Connection): SqliteDatabase {
  const kept = new Map<string, ReturnType<Connection["prepare"]>>();
  return {
    prepare(sql) {
      let statement = kept.get(sql);
      if (statement === undefined) {
        statement = connection.prepare(sql);
        if (kept.size >= KEPT) kept.clear();
        kept.set(sql, statement);
      }
      return statement;
    },
    close: () => void connection.close(),
  };
}
