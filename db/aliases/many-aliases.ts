import { type Kysely, sql } from "kysely";
import { addToDomains, type DomainDifference } from "../domains/domain-figures.ts";
import type { DomainTable } from "../domains/domains.ts";
import type { Schema } from "../schema.ts";
import { addDifference, differenceOf, noDifference, type StateTable } from "../state.ts";
import { type AliasGraph, aliasRecord } from "./graph.ts";
import { type AddressParts, type Alias, AliasRows, type NewAlias } from "./rows.ts";
import { AliasWrites } from "./writes.ts";

/** Aliases in large numbers, for an import or an apply, which judges their targets itself. */
export class ManyAliases {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #domains: DomainTable;
  readonly #graph: AliasGraph;
  readonly #rows: AliasRows;
  readonly #writes: AliasWrites;

  constructor(db: Kysely<Schema>, state: StateTable, domains: DomainTable, graph: AliasGraph) {
    this.#db = db;
    this.#state = state;
    this.#domains = domains;
    this.#graph = graph;
    this.#rows = new AliasRows(db, domains.within);
    this.#writes = new AliasWrites(db, state, graph, this.#rows);
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
    const found = await this.#rows.all(
      sql`(domains.name, aliases.local_part) IN (SELECT value ->> 0, value ->> 1 FROM json_each(${pairs}))`,
      addresses.length,
    );
    return new Map(found.map((alias) => [alias.address, alias]));
  }

  /** All aliases but those with one of these addresses. */
  except(addresses: readonly string[]): Promise<Alias[]> {
    return this.#rows.all(
      sql`aliases.local_part || '@' || domains.name NOT IN (SELECT value FROM json_each(${JSON.stringify(addresses)}))`,
      Number.MAX_SAFE_INTEGER,
    );
  }

  /**
   * Adds many aliases, none of which exists, to domains that are registered, and changes others. Targets need not exist, and may
   * lead back.
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
      const id = await this.#writes.write(
        { domainId: ofDomains.get(domain) ?? 0, localPart, address, sendAs },
        at,
      );
      await this.#writes.setTargets(id, targets);
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
}
