import type { Selectable } from "kysely";
import type { Counts } from "../../src/sync/answer.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import type { View } from "../../src/sync/view.ts";
import type { Schema } from "../schema.ts";
import type { StateSummary } from "../store.ts";

export type StateRow = Omit<Selectable<Schema["state"]>, "id" | "inactive_user_count">;

/** A domain's part of the state. */
export type DomainPart = Pick<
  Selectable<Schema["domains"]>,
  "digest" | "mx_digest" | "user_count" | "alias_count" | "domain_alias_count"
>;
export const PART_COLUMNS = "digest, mx_digest, user_count, alias_count, domain_alias_count";

/** @param parts those of the view's domains; a view of all domains needs none */
export function summaryOf(
  { role, domains }: View,
  row: StateRow,
  parts: readonly DomainPart[],
): StateSummary {
  const { history, revision, digest: wholeDigest } = row;
  if (domains === null) {
    const counts = {
      domains: row.domain_count,
      users: row.user_count,
      aliases: row.alias_count + row.shared_count,
      domain_aliases: row.domain_alias_count,
    };
    return { history, revision, wholeDigest, digest: role === "mx" ? row.mx_digest : wholeDigest, counts };
  }
  const sum = StateDigest.fromHex(role === "mx" ? row.shared_mx_digest : row.shared_digest);
  const counts: Counts = { domains: 0, users: 0, aliases: row.shared_count, domain_aliases: 0 };
  for (const part of parts) {
    sum.addDigest(StateDigest.fromHex(role === "mx" ? part.mx_digest : part.digest));
    counts.domains += 1;
    counts.users += part.user_count;
    counts.aliases += part.alias_count;
    counts.domain_aliases += part.domain_alias_count;
  }
  return { history, revision, wholeDigest, digest: sum.toString(), counts };
}
