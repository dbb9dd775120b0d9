import { type RawBuilder, type SqliteDatabase, sql } from "kysely";
import type { Connection } from "./file.ts";

/** Statements kept at most. The program has some fifty; only lists of ids, of any length, could make them more. */
const KEPT = 200;

/**
 * A connection for Kysely, which prepares each query anew: that takes several times as long as running it.
 * Kysely runs each to its end before the next, so one statement of a kind is enough.
 */
export function keepingStatements(connection: Connection): SqliteDatabase {
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

/**
 * For LIMIT, where a query is often run: SQLite looks at the value of a parameter that stands there alone, to plan by
 * it, and for that prepares the statement anew at each run, which takes longer than a list's page.
 */
export function atMost(rows: number): RawBuilder<number> {
  return sql<number>`${rows} + 0`;
}
