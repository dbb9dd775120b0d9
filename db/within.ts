import { type RawBuilder, sql } from "kysely";

/** These names as the right side of IN, with one parameter for all. */
export function listOf(names: Iterable<string>): RawBuilder<string> {
  return sql<string>`(SELECT value FROM json_each(${JSON.stringify([...names])}))`;
}

/** The condition that keeps a query to these domains, if a caller is limited to some. */
export function andWithin(
  within: ReadonlySet<string> | undefined,
  domain: RawBuilder<unknown> = sql`domains.name`,
): RawBuilder<unknown> {
  return within === undefined ? sql`` : sql` AND ${domain} IN ${listOf(within)}`;
}
