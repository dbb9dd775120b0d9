import { type RawBuilder, sql } from "kysely";

/** The condition that keeps a query to these domains, if a caller is limited to some. */
export function andWithin(
  within: ReadonlySet<string> | undefined,
  domain: RawBuilder<unknown> = sql`domains.name`,
): RawBuilder<unknown> {
  return within === undefined
    ? sql``
    : sql` AND ${domain} IN (SELECT value FROM json_each(${JSON.stringify([...within])}))`;
}
