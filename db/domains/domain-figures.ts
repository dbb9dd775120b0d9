import { type Kysely, sql } from "kysely";
import { StateDigest } from "../../src/sync/digest.ts";
import type { Schema } from "../schema.ts";
import { type DigestDifference, noDifference } from "../state.ts";

/** A change of a domain's records: numbers to add, and the addition to its digests. */
export interface DomainDifference {
  users?: number;
  inactiveUsers?: number;
  aliases?: number;
  domainAliases?: number;
  digests: DigestDifference;
}

interface DigestRow {
  id: number;
  digest: string;
  mx_digest: string;
}

/** Updates counts and digests of many domains, by their ids, in one statement. The caller updates the state's own. */
export async function addToDomains(
  db: Kysely<Schema>,
  differences: ReadonlyMap<number, DomainDifference>,
): Promise<void> {
  const ids = JSON.stringify([...differences.keys()]);
  const { rows } = await sql<DigestRow>`SELECT id, digest, mx_digest
    FROM domains WHERE id IN (SELECT CAST(value AS bigint) FROM json_each(${ids}))`.execute(db);
  const changed = rows.map(({ id, digest, mx_digest }) => {
    const {
      users = 0,
      inactiveUsers = 0,
      aliases = 0,
      domainAliases = 0,
      digests = noDifference(),
    } = differences.get(id) ?? {};
    const mail = StateDigest.fromHex(digest).addDigest(digests.mail).toString();
    const mx = StateDigest.fromHex(mx_digest).addDigest(digests.mx).toString();
    return [id, users, inactiveUsers, aliases, domainAliases, mail, mx];
  });
  await sql`UPDATE domains SET user_count = user_count + CAST(changed.value ->> 1 AS bigint),
      inactive_user_count = inactive_user_count + CAST(changed.value ->> 2 AS bigint),
      alias_count = alias_count + CAST(changed.value ->> 3 AS bigint),
      domain_alias_count = domain_alias_count + CAST(changed.value ->> 4 AS bigint),
      digest = changed.value ->> 5, mx_digest = changed.value ->> 6
    FROM json_each(${JSON.stringify(changed)}) AS changed WHERE domains.id = CAST(changed.value ->> 0 AS bigint)`.execute(
    db,
  );
}
