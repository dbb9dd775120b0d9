import { type Kysely, sql } from "kysely";
import type { Schema } from "../schema.ts";
import type { DigestDifference } from "../state.ts";

/** A change of a domain's records: numbers to add, and the addition to its digests. */
export interface DomainDifference {
  users?: number;
  inactiveUsers?: number;
  aliases?: number;
  domainAliases?: number;
  digests: DigestDifference;
}

/** Updates counts and digests of many domains, by their ids, in one statement. The caller updates the state's own. */
export async function addToDomains(
  db: Kysely<Schema>,
  differences: ReadonlyMap<number, DomainDifference>,
): Promise<void> {
  const changed = [...differences].map(
    ([id, { users = 0, inactiveUsers = 0, aliases = 0, domainAliases = 0, digests }]) => [
      id,
      users,
      inactiveUsers,
      aliases,
      domainAliases,
      digests.mail.toString(),
      digests.mx.toString(),
    ],
  );
  await sql`UPDATE domains SET user_count = user_count + CAST(changed.value ->> 1 AS bigint),
      inactive_user_count = inactive_user_count + CAST(changed.value ->> 2 AS bigint),
      alias_count = alias_count + CAST(changed.value ->> 3 AS bigint),
      domain_alias_count = domain_alias_count + CAST(changed.value ->> 4 AS bigint),
      digest = add_digests(digest, changed.value ->> 5), mx_digest = add_digests(mx_digest, changed.value ->> 6)
    FROM json_each(${JSON.stringify(changed)}) AS changed WHERE domains.id = CAST(changed.value ->> 0 AS bigint)`.execute(
    db,
  );
}
