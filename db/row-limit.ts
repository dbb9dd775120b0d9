import { type RawBuilder, sql } from "kysely";

/**
 * A LIMIT parameter for frequent queries. SQLite plans by the value of a bare parameter in LIMIT, and so prepares the
 * statement anew at each run, which takes longer than the page of a list.
 */
export function atMost(rows: number): RawBuilder<number> {
  return sql<number>`CAST(${rows} AS bigint)`;
}
