import { type Kysely, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { next, text } from "../../src/mail/text.ts";
import type { Schema } from "../schema.ts";

/** The addresses outside that get these aliases' mail by their records, without those in approved domains. */
export async function outsideOf(
  db: Kysely<Schema>,
  ids: readonly number[],
): Promise<Array<{ id: number; domain: string | null; address: string }>> {
  const { rows } = await sql<{
    id: number;
    domain: string | null;
    address: string;
  }>`SELECT id, domain, address FROM (
      SELECT aliases.id, domains.name AS domain, live.value AS address,
        substr(live.value, instr(live.value, '@') + 1) AS its
      FROM json_each(${JSON.stringify(ids)}) AS one CROSS JOIN aliases CROSS JOIN json_each(aliases.live) AS live
        LEFT JOIN domains ON domains.id = aliases.domain_id
      WHERE aliases.id = CAST(one.value AS bigint)) AS live
    WHERE NOT EXISTS (SELECT 1 FROM domains WHERE name = its)
      AND NOT EXISTS (SELECT 1 FROM domain_aliases WHERE name = its)
      AND NOT EXISTS (SELECT 1 FROM approved_domains WHERE name = its)`.execute(db);
  return rows;
}

/**
 * @param name a domain alias that leads to another domain than before
 * @param within the only domains whose addresses the refusal may name
 * @throws MailError invalid_input if aliases now lead outside, which nobody approved
 */
export function refuseOpened(
  name: string,
  before: Awaited<ReturnType<typeof outsideOf>>,
  after: typeof before,
  within: ReadonlySet<string> | undefined,
): void {
  const known = new Set(before.map(({ id, address }) => `${id} ${address}`));
  const opened = after.find(({ id, address }) => !known.has(`${id} ${address}`));
  if (opened === undefined) return;
  const isOurs = within === undefined || (opened.domain !== null && within.has(opened.domain));
  throw new MailError(
    "invalid_input",
    `Mail of an alias with a target at ${name} would go ${isOurs ? `to ${opened.address}` : "outside"}, which nobody approved for it.`,
    text`Nothing was changed. See where aliases lead with ${next("list-aliases")}, and leave out that target first.`,
  );
}
