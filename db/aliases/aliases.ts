import { type Kysely, type RawBuilder, sql } from "kysely";
import { MOST_LEADING_TO_ALIAS } from "../../src/mail/alias-limits.ts";
import { MailError } from "../../src/mail/error.ts";
import { next, text } from "../../src/mail/text.ts";
import { EVERYWHERE } from "../../src/sync/records.ts";
import { addToDomains, type DomainDifference } from "../domains/domain-figures.ts";
import type { Domain, DomainTable } from "../domains/domains.ts";
import { atMost } from "../row-limit.ts";
import type { Schema, TargetStanding } from "../schema.ts";
import {
  addDifference,
  type DigestDifference,
  differenceOf,
  noDifference,
  type StateTable,
} from "../state.ts";
import { replaceTarget } from "./follow.ts";
import { type AliasGraph, aliasRecord } from "./graph.ts";
import type { AddressParts, Alias, Target } from "./rows.ts";
import { AliasView } from "./view.ts";

/** The alias before a page, in order of domain, then local part. */
export interface AliasPosition {
  domain: string;
  localPart: string;
}

/** A target that waits for approval. */
export interface Waiting {
  alias: string;
  target: string;
  /** The addresses that get the target's mail, if it is an alias itself. */
  through: string[];
  /** Other aliases whose mail goes the same way. */
  from: string[];
}

/** An alias to add, with targets whose standings are judged. */
export type NewAlias = Pick<Alias, "address" | "localPart" | "domain" | "sendAs" | "targets">;

interface Row {
  id: number;
  domain_id: number | null;
  domain: string | null;
  local_part: string;
  send_as: number;
  live: string;
}

/** Aliases of the domains that `domains` knows. Every change publishes the records that depend on it. */
export class AliasTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #domains: DomainTable;
  readonly #graph: AliasGraph;
  readonly #view: AliasView;

  constructor(db: Kysely<Schema>, state: StateTable, domains: DomainTable, graph: AliasGraph) {
    this.#db = db;
    this.#state = state;
    this.#domains = domains;
    this.#graph = graph;
    this.#view = new AliasView(db, domains.within);
  }

  async find(address: AddressParts): Promise<Alias | undefined> {
    if (!this.#domains.covers(address.domain)) return undefined;
    const [found] = await this.#rows(
      sql`domains.name = ${address.domain} AND aliases.local_part = ${address.localPart}`,
      1,
    );
    return found;
  }

  /** @throws MailError alias_not_found */
  async get(address: AddressParts): Promise<Alias> {
    const found = await this.find(address);
    if (found !== undefined) return found;
    throw new MailError(
      "alias_not_found",
      `There is no alias ${address.email}.`,
      text`List the aliases with ${next("list-aliases")}.`,
    );
  }

  /** At most `limit` aliases in order of domain, then local part; of one domain, or with one target. */
  async page(
    limit: number,
    { domain, target }: { domain?: string | undefined; target?: AddressParts | undefined },
    after: AliasPosition | undefined,
  ): Promise<Alias[]> {
    const conditions = [
      ...(domain === undefined ? [] : [sql`domains.name = ${domain}`]),
      ...(target === undefined ? [] : [hasTarget(target)]),
      ...(after === undefined
        ? []
        : [
            sql`domains.name >= ${after.domain}`,
            // One bound for each domain, so that one statement enters the index on aliases at the right places.
            sql`aliases.local_part >= CASE WHEN domains.name = ${after.domain} THEN ${`${after.localPart}\u0001`} ELSE '' END`,
          ]),
    ];
    return this.#rows(conditions.length === 0 ? sql`true` : sql.join(conditions, sql` AND `), limit);
  }

  /** The number of aliases on all pages. */
  async count({
    domain,
    target,
  }: {
    domain?: Domain | undefined;
    target?: AddressParts | undefined;
  }): Promise<number> {
    if (target === undefined && domain !== undefined) return domain.aliasCount;
    const ofTarget = target === undefined ? sql`` : sql` AND ${hasTarget(target)}`;
    const ofDomain = domain === undefined ? sql`` : sql` AND domains.name = ${domain.name}`;
    const counted = target === undefined ? sql`coalesce(sum(domains.alias_count), 0)` : sql`count(*)`;
    const from =
      target === undefined ? sql`domains` : sql`domains JOIN aliases ON aliases.domain_id = domains.id`;
    const { rows } = await sql<{ number: number }>`SELECT ${counted} AS number FROM ${from}
      WHERE domains.erase_after IS NULL${this.#andWithin()}${ofDomain}${ofTarget}`.execute(this.#db);
    return rows[0]?.number ?? 0;
  }

  /**
   * Sets where an alias leads. Targets outside of the caller's domains wait for a person's approval, unless they have it
   * or the operator has approved their domain. Own targets whose mail goes on to outside wait too: an approval there was for
   * their own mail, not for this alias's.
   *
   * @throws MailError user_not_found, invalid_input
   */
  async set(
    domain: Domain,
    localPart: string,
    { targets, sendAs }: { targets: readonly AddressParts[]; sendAs: boolean },
    at: string,
  ): Promise<{ alias: Alias; created: boolean }> {
    const address = `${localPart}@${domain.name}`;
    const before = await this.find({ email: address, localPart, domain: domain.name });
    await this.#view.refuseTargets(address, targets, before?.targets ?? []);
    const standing = await this.#standings(targets, before?.targets ?? []);
    const id = await this.#write({ domainId: domain.id, localPart, address, sendAs }, at);
    await this.#setTargets(id, standing);
    await this.#lead(id, at);
    return {
      alias: await this.get({ email: address, localPart, domain: domain.name }),
      created: before === undefined,
    };
  }

  /** The domains of these addresses that are ours: registered, or aliases of a registered one. */
  ownDomains(addresses: readonly AddressParts[]): Promise<Set<string>> {
    return this.#view.ownDomains(addresses.map(({ domain }) => domain));
  }

  /** Those of these addresses that are aliases. */
  async existing(addresses: readonly AddressParts[]): Promise<Set<string>> {
    const pairs = JSON.stringify(addresses.map(({ domain, localPart }) => [domain, localPart]));
    const { rows } = await sql<{
      address: string;
    }>`SELECT aliases.local_part || '@' || domains.name AS address
      FROM json_each(${pairs}) AS pair CROSS JOIN domains CROSS JOIN aliases
      WHERE domains.name = pair.value ->> 0 AND aliases.domain_id = domains.id
        AND aliases.local_part = pair.value ->> 1`.execute(this.#db);
    return new Set(rows.map(({ address }) => address));
  }

  /** Those of these addresses that are aliases, with their targets, by address. */
  async named(addresses: readonly AddressParts[]): Promise<Map<string, Alias>> {
    const pairs = JSON.stringify(addresses.map(({ domain, localPart }) => [domain, localPart]));
    const found = await this.#rows(
      sql`(domains.name, aliases.local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`,
      addresses.length,
    );
    return new Map(found.map((alias) => [alias.address, alias]));
  }

  /** All aliases but those with one of these addresses. */
  except(addresses: readonly string[]): Promise<Alias[]> {
    return this.#rows(
      sql`aliases.local_part || '@' || domains.name NOT IN (SELECT value FROM json_each(${JSON.stringify(addresses)}))`,
      Number.MAX_SAFE_INTEGER,
    );
  }

  /** Those of these addresses, all in own domains, whose mail goes on to outside by an approval for their own mail. */
  leadingOutside(addresses: readonly AddressParts[]): Promise<Set<string>> {
    return this.#view.leadingOutside(addresses);
  }

  /**
   * Adds many aliases, none of which exists, to domains that are registered, and changes others. Targets need not exist, and must
   * not lead back.
   *
   * @throws MailError invalid_input when one leads to too many addresses, or too many lead to one
   */
  async putAll(
    { added, changed }: { added: readonly NewAlias[]; changed: readonly NewAlias[] },
    at: string,
  ): Promise<void> {
    const ids = added.length === 0 ? [] : await this.#insertAll(added, at);
    const ofDomains = await this.#domains.ids([...new Set(changed.map(({ domain }) => domain))]);
    for (const { address, domain, localPart, sendAs, targets } of changed) {
      const id = await this.#write({ domainId: ofDomains.get(domain) ?? 0, localPart, address, sendAs }, at);
      await this.#setTargets(id, targets);
      ids.push(id);
    }
    if (ids.length === 0) return;
    await this.#graph.update(await this.#graph.leadingTo(ids), at);
    await this.#graph.refuseCrowd(ids);
  }

  /** @returns the ids */
  async #insertAll(aliases: readonly NewAlias[], at: string): Promise<number[]> {
    const ofDomains = await this.#domains.ids([...new Set(aliases.map(({ domain }) => domain))]);
    const differences = new Map<number, DomainDifference>();
    const all = noDifference();
    const recordOfNew = ({ address, sendAs }: NewAlias) =>
      aliasRecord({ address, live: "[]", send_as: sendAs ? 1 : 0 });
    for (const [name, ofDomain] of Map.groupBy(aliases, ({ domain }) => domain)) {
      const digests = differenceOf(ofDomain.map(recordOfNew));
      differences.set(ofDomains.get(name) ?? 0, { aliases: ofDomain.length, digests });
      addDifference(all, digests);
    }
    await this.#state.addAll(aliases.map(recordOfNew), all, at);
    await addToDomains(this.#db, differences);
    await this.#state.addAliases(aliases.length, 0);
    const list = aliases.map(({ domain, localPart, sendAs, targets }) => [
      ofDomains.get(domain),
      localPart,
      sendAs ? 1 : 0,
      targets.map((target) => [target.domain, target.localPart, target.standing]),
    ]);
    const { rows } = await sql<{ id: number }>`INSERT INTO aliases
        (domain_id, local_part, send_as, live, revision, created_at, updated_at)
      SELECT CAST(value ->> 0 AS bigint), value ->> 1, CAST(value ->> 2 AS bigint), '[]', ${await this.#state.nextRevision()}, ${at}, ${at}
      FROM json_each(${JSON.stringify(list)}) RETURNING id`.execute(this.#db);
    await sql`INSERT INTO alias_targets (alias_id, domain, local_part, standing)
      SELECT aliases.id, target.value ->> 0, target.value ->> 1, target.value ->> 2
      FROM json_each(${JSON.stringify(list)}) AS one CROSS JOIN aliases CROSS JOIN json_each(one.value ->> 3) AS target
      WHERE aliases.domain_id = CAST(one.value ->> 0 AS bigint) AND aliases.local_part = one.value ->> 1`.execute(
      this.#db,
    );
    return rows.map(({ id }) => id);
  }

  /**
   * Makes the aliases that name a renamed mailbox follow it. An alias of the new address that leads only to this mailbox is
   * removed: the mailbox gets that mail itself.
   *
   * @returns the aliases that changed or went, by address
   * @throws MailError invalid_input for a circle, or when too many lead to an alias of the present address
   */
  async follow(former: AddressParts, present: AddressParts, at: string): Promise<string[]> {
    const changed = await replaceTarget(this.#db, former, present);
    if (changed.length === 0) return [];
    await this.#graph.update(await this.#graph.leadingTo(changed.map(({ id }) => id)), at);
    const self = await this.find(present);
    if (self?.targets.length === 0) await this.remove(self, at);
    else if (self !== undefined) {
      const before = changed.filter(({ id }) => id !== self.id).map(({ address }) => address);
      const [back] = (await this.#graph.addressesOf(self.id)).filter((address) => before.includes(address));
      if (back !== undefined) throw circle(present.email, back);
      await this.#graph.refuseCrowd([self.id]);
    }
    return changed.flatMap(({ address }) => (address === EVERYWHERE ? ["postmaster@", "abuse@"] : [address]));
  }

  async remove(alias: Alias, at: string): Promise<void> {
    const leading = await this.#graph.leadingTo([alias.id]);
    const row = await this.#row(sql`aliases.id = ${alias.id}`);
    if (row === undefined) throw new Error("the alias is gone");
    const digests = await this.#state.change({ before: recordOf(row), at });
    await this.#db.deleteFrom("aliases").where("id", "=", alias.id).execute();
    if (row.domain_id !== null) {
      await this.#addFigures(row.domain_id, -1, digests);
    }
    await this.#graph.update(
      leading.filter((id) => id !== alias.id),
      at,
    );
  }

  /** What these aliases resolve to, as this caller may know it. */
  resolve(aliases: readonly Alias[]) {
    return this.#view.resolve(aliases);
  }

  /** The addresses of aliases that lead to this address, through others too, in order. */
  async leadingTo({ domain, localPart, email }: AddressParts): Promise<string[]> {
    const { rows } = await sql<{
      address: string;
    }>`SELECT aliases.local_part || '@' || domains.name AS address
      FROM alias_reach AS reach JOIN aliases ON aliases.id = reach.alias_id
        JOIN domains ON domains.id = aliases.domain_id
      WHERE reach.domain = ${domain} AND reach.local_part = ${localPart}
        AND domains.erase_after IS NULL${this.#andWithin()}
      ORDER BY domains.name, aliases.local_part`.execute(this.#db);
    return rows.map(({ address }) => address).filter((address) => address !== email);
  }

  /** Whether this address gets the mail of postmaster@ and abuse@ of every domain, through aliases too. */
  async sharedLeadsTo({ domain, localPart }: AddressParts): Promise<boolean> {
    const { rows } = await sql<{ found: number | boolean }>`SELECT EXISTS (
      SELECT 1 FROM alias_reach AS reach JOIN aliases ON aliases.id = reach.alias_id
      WHERE aliases.domain_id IS NULL AND reach.domain = ${domain} AND reach.local_part = ${localPart}
    ) AS found`.execute(this.#db);
    return Boolean(rows[0]?.found);
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
    await this.#lead(alias.id, at);
  }

  /** Removes targets that wait from an alias; removes the alias if no target is left. */
  async refuse(alias: Alias, targets: readonly Target[], at: string): Promise<void> {
    if (targets.length === alias.targets.length) return this.remove(alias, at);
    const pairs = JSON.stringify(targets.map(({ domain, localPart }) => [domain, localPart]));
    await sql`DELETE FROM alias_targets WHERE alias_id = ${alias.id}
      AND (domain, local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`.execute(
      this.#db,
    );
  }

  async approvedDomains(): Promise<string[]> {
    const rows = await this.#db.selectFrom("approved_domains").select("name").orderBy("name").execute();
    return rows.map(({ name }) => name);
  }

  async approveDomain(name: string): Promise<void> {
    await this.#db
      .insertInto("approved_domains")
      .values({ name })
      .onConflict((conflict) => conflict.doNothing())
      .execute();
  }

  async disapproveDomain(name: string): Promise<void> {
    await this.#db.deleteFrom("approved_domains").where("name", "=", name).execute();
  }

  /** The address for postmaster@ and abuse@ of every domain. */
  async shared(): Promise<string | undefined> {
    const { rows } = await sql<{ target: string }>`SELECT target.local_part || '@' || target.domain AS target
      FROM aliases JOIN alias_targets AS target ON target.alias_id = aliases.id
      WHERE aliases.domain_id IS NULL`.execute(this.#db);
    return rows[0]?.target;
  }

  /** Sets it; undefined removes it. It needs no approval, because only the operator sets it. */
  async setShared(target: AddressParts | undefined, at: string): Promise<void> {
    const row = await this.#row(sql`aliases.domain_id IS NULL`);
    if (row !== undefined) {
      const digests = await this.#state.change({ before: recordOf(row), at });
      await this.#state.addShared(-1, digests);
      await this.#db.deleteFrom("aliases").where("id", "=", row.id).execute();
    }
    if (target === undefined) return;
    const id = await this.#write({ domainId: null, localPart: "", address: EVERYWHERE, sendAs: false }, at);
    await this.#setTargets(id, [{ ...target, standing: "approved" }]);
    await this.#graph.update([id], at);
  }

  /** Where the alias leads from now on, and every alias that leads to it. */
  async #lead(id: number, at: string): Promise<void> {
    const leading = await this.#graph.leadingTo([id]);
    await this.#graph.update(leading, at);
    await this.#graph.refuseCrowd([id]);
  }

  /** Writes the row without targets, or with those that it has, and returns its id. */
  async #write(
    {
      domainId,
      localPart,
      address,
      sendAs,
    }: { domainId: number | null; localPart: string; address: string; sendAs: boolean },
    at: string,
  ): Promise<number> {
    const row = await this.#row(
      domainId === null
        ? sql`aliases.domain_id IS NULL`
        : sql`aliases.domain_id = ${domainId} AND aliases.local_part = ${localPart}`,
    );
    const send_as = sendAs ? 1 : 0;
    const after = aliasRecord({ address, live: row?.live ?? "[]", send_as });
    const isChange = row === undefined || row.send_as !== send_as;
    if (isChange) {
      const digests = await this.#state.change({ before: row && recordOf(row), after, at });
      if (domainId === null) await this.#state.addShared(1, digests);
      else await this.#addFigures(domainId, row === undefined ? 1 : 0, digests);
    }
    const revision = await this.#state.revision();
    const { rows } = await sql<{ id: number }>`INSERT INTO aliases
        (domain_id, local_part, send_as, live, revision, created_at, updated_at)
      VALUES (${domainId}, ${localPart}, ${send_as}, '[]', ${revision}, ${at}, ${at})
      ON CONFLICT (domain_id, local_part) DO UPDATE SET send_as = excluded.send_as, updated_at = excluded.updated_at,
        revision = ${isChange ? sql`excluded.revision` : sql`aliases.revision`}
      RETURNING id`.execute(this.#db);
    const [written] = rows;
    if (written === undefined) throw new Error("the alias was not written");
    return written.id;
  }

  /** Adds to the number of aliases, of the domain and of all, and to the domain's digests. */
  async #addFigures(domainId: number, aliases: number, digests: DigestDifference): Promise<void> {
    await addToDomains(this.#db, new Map([[domainId, { aliases, digests }]]));
    if (aliases !== 0) await this.#state.addAliases(aliases, 0);
  }

  async #setTargets(id: number, targets: readonly Target[]): Promise<void> {
    const list = JSON.stringify(
      targets.map(({ domain, localPart, standing }) => [domain, localPart, standing]),
    );
    await this.#db.deleteFrom("alias_targets").where("alias_id", "=", id).execute();
    await sql`INSERT INTO alias_targets (alias_id, domain, local_part, standing)
      SELECT ${id}, value ->> 0, value ->> 1, value ->> 2 FROM json_each(${list})`.execute(this.#db);
  }

  async #standings(targets: readonly AddressParts[], before: readonly Target[]): Promise<Target[]> {
    const own = await this.#view.ownDomains(targets.map(({ domain }) => domain));
    const approved = new Set(await this.approvedDomains());
    const former = new Map(before.map(({ email, standing }) => [email, standing]));
    const isNew = ({ email }: AddressParts) => (former.get(email) ?? "waiting") === "waiting";
    const leadingOutside = await this.#view.leadingOutside(
      targets.filter((target) => own.has(target.domain) && isNew(target)),
    );
    const standingOf = ({ email, domain }: AddressParts): TargetStanding => {
      if (own.has(domain)) return leadingOutside.has(email) ? "waiting" : "own";
      const had = former.get(email);
      // Another domain's target, set by somebody who may use that domain: this caller cannot know it.
      if (had === "approved" || (had === "own" && !this.#domains.covers(domain))) return had;
      return approved.has(domain) ? "approved" : "waiting";
    };
    return targets.map((target) => ({ ...target, standing: standingOf(target) }));
  }

  async #row(condition: RawBuilder<unknown>): Promise<Row | undefined> {
    const { rows } = await sql<Row>`SELECT aliases.id, aliases.domain_id, domains.name AS domain,
        aliases.local_part, aliases.send_as, aliases.live
      FROM aliases LEFT JOIN domains ON domains.id = aliases.domain_id WHERE ${condition} LIMIT 1`.execute(
      this.#db,
    );
    return rows[0];
  }

  async #rows(condition: RawBuilder<unknown>, limit: number): Promise<Alias[]> {
    const { rows } = await sql<{
      id: number;
      domain: string;
      local_part: string;
      send_as: number;
      targets: string | null;
      reach: number;
    }>`
      SELECT aliases.id, domains.name AS domain, aliases.local_part, aliases.send_as,
        (SELECT string_agg(local_part || ' ' || domain || ' ' || standing, ',' ORDER BY domain, local_part)
          FROM alias_targets WHERE alias_id = aliases.id) AS targets,
        (SELECT count(*) FROM alias_reach AS reach WHERE reach.alias_id = aliases.id${this.#andWithin(sql`reach.domain`)}) AS reach
      FROM domains CROSS JOIN aliases
      WHERE aliases.domain_id = domains.id AND domains.erase_after IS NULL AND ${condition}${this.#andWithin()}
      ORDER BY domains.name, aliases.local_part LIMIT ${atMost(limit)}`.execute(this.#db);
    return rows.map((row) => ({
      id: row.id,
      address: `${row.local_part}@${row.domain}`,
      localPart: row.local_part,
      domain: row.domain,
      sendAs: row.send_as === 1,
      reach: row.reach,
      targets: row.targets === null ? [] : row.targets.split(",").map(toTarget),
    }));
  }

  #andWithin(domain = sql`domains.name`): RawBuilder<unknown> {
    const { within } = this.#domains;
    if (within === undefined) return sql``;
    return sql` AND ${domain} IN (SELECT value FROM json_each(${JSON.stringify([...within])}))`;
  }
}

function circle(alias: string, back: string): MailError {
  return new MailError(
    "invalid_input",
    `The alias ${alias} leads to ${back}, which would lead back to it.`,
    text`Nothing was changed. Remove that alias first with ${next("remove-alias", { address: alias })}.`,
  );
}

function hasTarget({ domain, localPart }: AddressParts): RawBuilder<unknown> {
  return sql`aliases.id IN (SELECT alias_id FROM alias_targets
    WHERE domain = ${domain} AND local_part = ${localPart})`;
}

function recordOf({ local_part, domain, live, send_as }: Row) {
  return aliasRecord({ address: `${local_part}@${domain ?? ""}`, live, send_as });
}

/** A local part, which may be empty, its domain and the standing; no address has a blank or a comma. */
function toTarget(text: string): Target {
  const [localPart = "", domain = "", standing] = text.split(" ");
  return { email: `${localPart}@${domain}`, localPart, domain, standing: standing as TargetStanding };
}
