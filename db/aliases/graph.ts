import { setImmediate } from "node:timers/promises";
import { type Kysely, sql } from "kysely";
import { crowded, MOST_LEADING, MOST_LEADING_TO_ALIAS } from "../../src/mail/alias-limits.ts";
import { MailError } from "../../src/mail/error.ts";
import { type AliasRecord, MOST_TARGETS } from "../../src/sync/records.ts";
import { addToDomains, type DomainDifference } from "../domains/domain-figures.ts";
import type { Schema } from "../schema.ts";
import { addDifference, noDifference, replacement, type StateTable } from "../state.ts";
import { andWithin } from "../within.ts";

/** ms of work on aliases until other requests get their turn. */
const BATCH = 10;

/** A mailbox that came into service or left it. */
export interface MailboxChange {
  localPart: string;
  domain: string;
  active: boolean;
}

/** An alias that leads to a mailbox that changes. */
export interface LeadingAlias {
  id: number;
  /** The mailbox. */
  address: string;
  active: number;
}

interface ServedRow {
  id: number;
  domain_id: number | null;
  address: string;
  send_as: number;
  live: string;
}

/**
 * Where aliases lead, and the records of that for nodes. alias_reach has every address to which an alias leads, through
 * other aliases and domain aliases, the alias itself included. The alias's record has those of these addresses that are
 * active mailboxes, or outside and approved. Loops do no harm: each address is reached once.
 */
export class AliasGraph {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #within: ReadonlySet<string> | undefined;

  /** @param within the only domains whose addresses a refusal names */
  constructor(db: Kysely<Schema>, state: StateTable, within: ReadonlySet<string> | undefined) {
    this.#db = db;
    this.#state = state;
    this.#within = within;
  }

  /** Publishes the aliases that lead to these mailboxes. */
  async mailboxesChanged(changes: readonly MailboxChange[], at: string): Promise<void> {
    await this.publishLeading(await this.leadingToMailboxes(changes), at);
  }

  /** The aliases that lead to these mailboxes, as publishLeading() takes them. */
  async leadingToMailboxes(changes: readonly MailboxChange[]): Promise<LeadingAlias[]> {
    if (changes.length === 0) return [];
    const list = JSON.stringify(
      changes.map(({ domain, localPart, active }) => [domain, localPart, active ? 1 : 0]),
    );
    const { rows } = await sql<LeadingAlias>`SELECT reach.alias_id AS id,
        reach.local_part || '@' || reach.domain AS address, CAST(changed.value ->> 2 AS bigint) AS active
      FROM json_each(${list}) AS changed CROSS JOIN alias_reach AS reach
      WHERE reach.domain = changed.value ->> 0 AND reach.local_part = changed.value ->> 1`.execute(this.#db);
    return rows;
  }

  async publishLeading(aliases: readonly LeadingAlias[], at: string): Promise<void> {
    const changesOf = Map.groupBy(aliases, ({ id }) => id);
    await inBatches([...changesOf.keys()], async (ids) => {
      const served = await this.#served(ids);
      const live = new Map(
        served.map((row) => {
          const targets = new Set<string>(JSON.parse(row.live));
          for (const { address, active } of changesOf.get(row.id) ?? []) {
            if (active === 1) targets.add(address);
            else targets.delete(address);
          }
          return [row.id, [...targets].sort()];
        }),
      );
      await this.#publish(served, live, at);
    });
  }

  /** These aliases and all that lead to one of them. */
  async leadingTo(ids: readonly number[]): Promise<number[]> {
    const list = JSON.stringify(ids);
    const { rows } = await sql<{
      id: number;
    }>`SELECT CAST(value AS bigint) AS id FROM json_each(${list}) UNION
      SELECT reach.alias_id FROM json_each(${list}) AS one CROSS JOIN aliases AS target CROSS JOIN domains
        CROSS JOIN alias_reach AS reach
      WHERE target.id = CAST(one.value AS bigint) AND domains.id = target.domain_id
        AND reach.domain = domains.name AND reach.local_part = target.local_part`.execute(this.#db);
    return (await this.#served(rows.map(({ id }) => id))).map(({ id }) => id);
  }

  /** The aliases with a target in this domain, and all that lead to one of them. */
  async leadingInto(domains: readonly string[]): Promise<number[]> {
    const { rows } = await sql<{ id: number }>`SELECT DISTINCT alias_id AS id
      FROM json_each(${JSON.stringify(domains)}) AS one CROSS JOIN alias_targets
      WHERE alias_targets.domain = one.value`.execute(this.#db);
    return rows.length === 0 ? [] : this.leadingTo(rows.map(({ id }) => id));
  }

  /**
   * Computes anew where these aliases lead, and publishes those whose record changes.
   *
   * @throws MailError invalid_input when one leads to too many addresses
   */
  async update(ids: readonly number[], at: string): Promise<void> {
    await inBatches(ids, (some) => this.#updateSome(some, at));
  }

  async #updateSome(ids: readonly number[], at: string): Promise<void> {
    const list = JSON.stringify(ids);
    await sql`DELETE FROM alias_reach WHERE alias_id IN (SELECT CAST(value AS bigint) FROM json_each(${list}))`.execute(
      this.#db,
    );
    await this.#reach(list);
    const { rows } = await sql<{ id: number }>`SELECT alias_id AS id FROM alias_reach
      WHERE alias_id IN (SELECT CAST(value AS bigint) FROM json_each(${list}))
      GROUP BY alias_id HAVING count(*) > ${MOST_TARGETS} LIMIT 1`.execute(this.#db);
    const served = await this.#served(ids);
    const tooWide = served.find(({ id }) => id === rows[0]?.id);
    if (tooWide !== undefined) {
      throw new MailError(
        "invalid_input",
        `${this.#named(tooWide.address, "An alias elsewhere that leads here")} would lead to more than ${MOST_TARGETS} addresses.`,
        "Nothing was changed. Use fewer targets, or a program for mailing lists.",
      );
    }
    await this.#publish(served, await this.#live(list), at);
  }

  /** All addresses to which an alias leads, itself included. */
  async addressesOf(id: number): Promise<string[]> {
    const { rows } = await sql<{ address: string }>`SELECT local_part || '@' || domain AS address
      FROM alias_reach WHERE alias_id = ${id}`.execute(this.#db);
    return rows.map(({ address }) => address);
  }

  /**
   * Only the caller's domains count, both as the addresses to which aliases lead and as the aliases' own: a refusal would tell
   * a token for some domains what leads to others, and an address of another domain must look like any outside.
   *
   * @param ids aliases that have changed
   * @throws MailError invalid_input when too many aliases lead to an address to which one leads, itself included
   */
  async refuseCrowd(ids: readonly number[]): Promise<void> {
    await inBatches(ids, (some) => this.#refuseCrowdOf(some));
  }

  async #refuseCrowdOf(ids: readonly number[]): Promise<void> {
    const { rows } = await sql<{ address: string; most: number }>`SELECT address, most FROM (
        SELECT DISTINCT mine.local_part || '@' || mine.domain AS address, mine.domain, mine.local_part,
          CASE WHEN aliases.id IS NULL THEN ${sql.lit(MOST_LEADING)} ELSE ${sql.lit(MOST_LEADING_TO_ALIAS)} END AS most,
          -- An alias has a row for itself, too.
          CASE WHEN aliases.id IS NULL THEN ${sql.lit(MOST_LEADING)} ELSE ${sql.lit(MOST_LEADING_TO_ALIAS + 1)} END AS room
        FROM alias_reach AS mine JOIN domains ON domains.name = mine.domain
          LEFT JOIN aliases ON aliases.domain_id = domains.id AND aliases.local_part = mine.local_part
        WHERE mine.alias_id IN (SELECT CAST(value AS bigint) FROM json_each(${JSON.stringify(ids)}))${andWithin(this.#within)}) AS mine
      WHERE (SELECT count(*) FROM (SELECT 1 FROM alias_reach AS other JOIN aliases AS source ON source.id = other.alias_id
          LEFT JOIN domains ON domains.id = source.domain_id
        WHERE other.domain = mine.domain AND other.local_part = mine.local_part
          AND domains.erase_after IS NULL${andWithin(this.#within)}
        LIMIT ${MOST_LEADING + 1}) AS those) > mine.room
      LIMIT 1`.execute(this.#db);
    const [crowd] = rows;
    if (crowd !== undefined) throw crowded(crowd.address, crowd.most);
  }

  #named(address: string, otherwise: string): string {
    const domain = address.slice(address.indexOf("@") + 1);
    return (this.#within?.has(domain) ?? true) ? address : otherwise;
  }

  async #reach(list: string): Promise<void> {
    await sql`WITH RECURSIVE reach(alias_id, domain, local_part) AS (
        SELECT aliases.id, domains.name, aliases.local_part
          FROM json_each(${list}) AS one CROSS JOIN aliases CROSS JOIN domains
          WHERE aliases.id = CAST(one.value AS bigint) AND domains.id = aliases.domain_id AND aliases.local_part <> ''
        UNION
        SELECT target.alias_id, target.domain, target.local_part
          FROM json_each(${list}) AS one CROSS JOIN alias_targets AS target
          WHERE target.alias_id = CAST(one.value AS bigint) AND ${IS_FOLLOWED}
        UNION
        -- One step for both kinds: a domain alias is never a registered domain.
        SELECT reach.alias_id, coalesce(original.name, target.domain),
            CASE WHEN original.name IS NULL THEN target.local_part ELSE reach.local_part END
          FROM reach LEFT JOIN domains ON domains.name = reach.domain
            LEFT JOIN aliases ON aliases.domain_id = domains.id AND aliases.local_part = reach.local_part
            LEFT JOIN alias_targets AS target ON target.alias_id = aliases.id AND ${IS_FOLLOWED}
            LEFT JOIN domain_aliases ON domain_aliases.name = reach.domain
            LEFT JOIN domains AS original ON original.id = domain_aliases.domain_id
          WHERE target.alias_id IS NOT NULL OR original.name IS NOT NULL
      ) INSERT INTO alias_reach SELECT alias_id, domain, local_part FROM reach`.execute(this.#db);
  }

  /** The final targets of these aliases by id, sorted. */
  async #live(list: string): Promise<Map<number, string[]>> {
    const { rows } = await sql<{ id: number; address: string }>`SELECT reach.alias_id AS id,
        reach.local_part || '@' || reach.domain AS address
      FROM json_each(${list}) AS one CROSS JOIN alias_reach AS reach
      LEFT JOIN domains ON domains.name = reach.domain
      LEFT JOIN users ON users.domain_id = domains.id AND users.local_part = reach.local_part AND users.active = 1
      WHERE reach.alias_id = CAST(one.value AS bigint) AND (users.id IS NOT NULL OR (domains.id IS NULL
        AND NOT EXISTS (SELECT 1 FROM domain_aliases WHERE domain_aliases.name = reach.domain)))`.execute(
      this.#db,
    );
    return new Map(
      [...Map.groupBy(rows, ({ id }) => id)].map(([id, found]) => [
        id,
        found.map(({ address }) => address).sort(),
      ]),
    );
  }

  /** The rows of these aliases, without those of hidden domains. */
  async #served(ids: readonly number[]): Promise<ServedRow[]> {
    const { rows } = await sql<ServedRow>`SELECT aliases.id, aliases.domain_id,
        aliases.local_part || '@' || coalesce(domains.name, '') AS address, aliases.send_as, aliases.live
      FROM aliases LEFT JOIN domains ON domains.id = aliases.domain_id
      WHERE aliases.id IN (SELECT CAST(value AS bigint) FROM json_each(${JSON.stringify(ids)}))
        AND domains.erase_after IS NULL`.execute(this.#db);
    return rows;
  }

  async #publish(
    rows: readonly ServedRow[],
    live: ReadonlyMap<number, readonly string[]>,
    at: string,
  ): Promise<void> {
    const changed = rows.flatMap((row) => {
      const now = JSON.stringify(live.get(row.id) ?? []);
      return now === row.live ? [] : [{ row, now }];
    });
    if (changed.length === 0) return;
    const all = noDifference();
    const shared = noDifference();
    const ofDomains = new Map<number, DomainDifference>();
    for (const { row, now } of changed) {
      const difference = replacement(aliasRecord(row), aliasRecord({ ...row, live: now }));
      addDifference(all, difference);
      if (row.domain_id === null) {
        addDifference(shared, difference);
        continue;
      }
      const ofDomain = ofDomains.get(row.domain_id) ?? { digests: noDifference() };
      addDifference(ofDomain.digests, difference);
      ofDomains.set(row.domain_id, ofDomain);
    }
    await this.#state.replaceAll(all, at);
    if (changed.some(({ row }) => row.domain_id === null)) await this.#state.addShared(0, shared);
    await addToDomains(this.#db, ofDomains);
    await sql`UPDATE aliases SET live = changed.value ->> 1, revision = ${await this.#state.nextRevision()}
      FROM json_each(${JSON.stringify(changed.map(({ row, now }) => [row.id, now]))}) AS changed
      WHERE aliases.id = CAST(changed.value ->> 0 AS bigint)`.execute(this.#db);
  }
}

/**
 * Works on some aliases at a time, and lets other requests go on in between: 100 aliases that each lead to 1,000 addresses take
 * about a second.
 */
async function inBatches(
  ids: readonly number[],
  work: (some: readonly number[]) => Promise<void>,
): Promise<void> {
  let size = 1;
  for (let done = 0; done < ids.length; ) {
    const before = performance.eventLoopUtilization();
    await work(ids.slice(done, done + size));
    done += size;
    // A wait for PostgreSQL holds up nobody.
    const { active } = performance.eventLoopUtilization(before);
    size = active < BATCH ? 2 * size : Math.max(1, Math.floor(size / 2));
    if (done < ids.length) await setImmediate();
  }
}

/** A target outside counts only if a person approved it. It is not outside while its domain is registered. */
const IS_FOLLOWED = sql`(target.standing = 'approved' OR (target.standing = 'own'
  AND (EXISTS (SELECT 1 FROM domains WHERE domains.name = target.domain)
    OR EXISTS (SELECT 1 FROM domain_aliases WHERE domain_aliases.name = target.domain))))`;

export function aliasRecord({
  address,
  live,
  send_as,
}: Pick<ServedRow, "address" | "live" | "send_as">): AliasRecord {
  return { alias: address, targets: JSON.parse(live), send_as: send_as === 1 };
}
