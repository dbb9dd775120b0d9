import { type Kysely, sql } from "kysely";
import type { Schema } from "../schema.ts";
import type { AddressParts } from "./rows.ts";

/**
 * Replaces a renamed mailbox's former address by its present one in all aliases, also where they name it by a domain alias. An
 * alias of the former address stays, so its targets still get their mail. An alias of the present address never names itself.
 *
 * @returns the aliases that changed
 */
export async function replaceTarget(
  db: Kysely<Schema>,
  former: AddressParts,
  present: AddressParts,
): Promise<Array<{ id: number; address: string }>> {
  const isNamed = sql`target.local_part = ${former.localPart} AND target.domain IN (SELECT ${former.domain} UNION
    SELECT domain_aliases.name FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
    WHERE domains.name = ${former.domain})`;
  const { rows } = await sql<{ id: number; address: string }>`SELECT DISTINCT aliases.id,
      aliases.local_part || '@' || coalesce(domains.name, '') AS address, coalesce(domains.name, '') AS domain,
      aliases.local_part
    FROM alias_targets AS target CROSS JOIN aliases LEFT JOIN domains ON domains.id = aliases.domain_id
    WHERE ${isNamed} AND aliases.id = target.alias_id AND domains.erase_after IS NULL
    ORDER BY domain, aliases.local_part`.execute(db);
  const ids = JSON.stringify(rows.map(({ id }) => id));
  const isFound = sql`target.alias_id IN (SELECT CAST(value AS bigint) FROM json_each(${ids}))`;
  const self = rows.find(({ address }) => address === present.email)?.id ?? 0;
  // 'waiting' comes last in the alphabet, so min() keeps any other standing.
  await sql`INSERT INTO alias_targets (alias_id, domain, local_part, standing)
    SELECT target.alias_id, ${present.domain}, ${present.localPart}, min(target.standing)
    FROM alias_targets AS target WHERE ${isNamed} AND ${isFound} AND target.alias_id <> ${self} GROUP BY target.alias_id
    ON CONFLICT (alias_id, domain, local_part) DO UPDATE SET standing = excluded.standing
      WHERE excluded.standing < alias_targets.standing`.execute(db);
  await sql`DELETE FROM alias_targets AS target WHERE ${isNamed} AND ${isFound} AND NOT EXISTS (SELECT 1
    FROM aliases JOIN domains ON domains.id = aliases.domain_id
    WHERE domains.name = ${former.domain} AND aliases.local_part = ${former.localPart})`.execute(db);
  return rows;
}
