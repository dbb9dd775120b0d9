import { type Kysely, sql } from "kysely";
import { MOST_LEADING_TO_ALIAS } from "../../src/mail/alias-limits.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import type { AddressParts, Alias, Target } from "./rows.ts";
import type { AliasView } from "./view.ts";
import type { AliasWrites } from "./writes.ts";

/** A target that waits for approval. */
export interface Waiting {
  alias: string;
  target: string;
  /** The addresses that get the target's mail, if it is an alias itself. */
  through: string[];
  /** Other aliases whose mail goes the same way. */
  from: string[];
}

/** The operator's approvals: of aliases' targets outside that wait, and of domains whose addresses need none. */
export class AliasApprovals {
  readonly #db: Kysely<Schema>;
  readonly #view: AliasView;
  readonly #writes: AliasWrites;

  constructor(db: Kysely<Schema>, view: AliasView, writes: AliasWrites) {
    this.#db = db;
    this.#view = view;
    this.#writes = writes;
  }

  /** Targets that wait for approval, at most `limit`; of one alias, or only these, if they are given. */
  async waiting(
    limit: number,
    {
      address,
      targets,
    }: { address?: AddressParts | undefined; targets?: readonly AddressParts[] | undefined } = {},
  ): Promise<Waiting[]> {
    const ofAlias =
      address === undefined
        ? sql``
        : sql` AND domains.name = ${address.domain} AND aliases.local_part = ${address.localPart}`;
    const pairs = targets && JSON.stringify(targets.map(({ domain, localPart }) => [domain, localPart]));
    const ofTargets =
      pairs === undefined
        ? sql``
        : sql` AND (target.domain, target.local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`;
    const { rows } = await sql<{
      alias: string;
      target: string;
      through: string | null;
      from: string | null;
    }>`SELECT
        aliases.local_part || '@' || domains.name AS alias,
        target.local_part || '@' || target.domain AS target,
        (SELECT next.live FROM aliases AS next JOIN domains AS its ON its.id = next.domain_id
          WHERE next.local_part = target.local_part AND its.name = coalesce((SELECT original.name
            FROM domain_aliases JOIN domains AS original ON original.id = domain_aliases.domain_id
            WHERE domain_aliases.name = target.domain), target.domain)) AS through,
        (SELECT string_agg(address, ' ') FROM (SELECT source.local_part || '@' || its.name AS address
          FROM alias_reach AS reach JOIN aliases AS source ON source.id = reach.alias_id
            JOIN domains AS its ON its.id = source.domain_id
          WHERE reach.domain = domains.name AND reach.local_part = aliases.local_part
            AND source.id <> aliases.id AND its.erase_after IS NULL
          ORDER BY its.name, source.local_part LIMIT ${MOST_LEADING_TO_ALIAS}) AS those) AS "from"
      FROM alias_targets AS target JOIN aliases ON aliases.id = target.alias_id
        JOIN domains ON domains.id = aliases.domain_id
      WHERE target.standing = 'waiting' AND domains.erase_after IS NULL${ofAlias}${ofTargets}
      ORDER BY domains.name, aliases.local_part, target LIMIT ${atMost(limit)}`.execute(this.#db);
    return rows.map(({ alias, target, through, from }) => ({
      alias,
      target,
      through: through === null ? [] : JSON.parse(through),
      from: from?.split(" ") ?? [],
    }));
  }

  /** Approves targets of an alias that wait. */
  async approve(alias: Alias, targets: readonly Target[], at: string): Promise<void> {
    await this.#view.refuseLoop(alias.address, targets);
    const own = JSON.stringify([...(await this.#view.ownDomains(targets.map(({ domain }) => domain)))]);
    const pairs = JSON.stringify(targets.map(({ domain, localPart }) => [domain, localPart]));
    await sql`UPDATE alias_targets
      SET standing = CASE WHEN domain IN (SELECT value FROM json_each(${own})) THEN 'own' ELSE 'approved' END
      WHERE alias_id = ${alias.id}
      AND (domain, local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`.execute(
      this.#db,
    );
    await this.#writes.lead(alias.id, at);
  }

  /** Removes targets that wait from an alias; removes the alias if no target is left. */
  async refuse(alias: Alias, targets: readonly Target[], at: string): Promise<void> {
    if (targets.length === alias.targets.length) return this.#writes.remove(alias, at);
    const pairs = JSON.stringify(targets.map(({ domain, localPart }) => [domain, localPart]));
    await sql`DELETE FROM alias_targets WHERE alias_id = ${alias.id}
      AND (domain, local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`.execute(
      this.#db,
    );
  }

  async domains(): Promise<string[]> {
    const rows = await this.#db.selectFrom("approved_domains").select("name").orderBy("name").execute();
    return rows.map(({ name }) => name);
  }

  async addDomain(name: string): Promise<void> {
    await this.#db
      .insertInto("approved_domains")
      .values({ name })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async removeDomain(name: string): Promise<void> {
    await this.#db.deleteFrom("approved_domains").where("name", "=", name).execute();
  }
}
