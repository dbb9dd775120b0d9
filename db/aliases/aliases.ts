import { type Kysely, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { next, text } from "../../src/mail/text.ts";
import { EVERYWHERE } from "../../src/sync/records.ts";
import type { Domain, DomainTable } from "../domains/domains.ts";
import type { Schema, TargetStanding } from "../schema.ts";
import type { StateTable } from "../state.ts";
import { AliasApprovals } from "./approvals.ts";
import { replaceTarget } from "./follow.ts";
import type { AliasGraph } from "./graph.ts";
import { type AddressParts, type Alias, AliasRows, hasTarget, type Target } from "./rows.ts";
import { AliasView } from "./view.ts";
import { AliasWrites } from "./writes.ts";

/** The alias before a page, in order of domain, then local part. */
export interface AliasPosition {
  domain: string;
  localPart: string;
}

/** Aliases of the domains that `domains` knows. Every change publishes the records that depend on it. */
export class AliasTable {
  readonly approvals: AliasApprovals;
  readonly #db: Kysely<Schema>;
  readonly #domains: DomainTable;
  readonly #graph: AliasGraph;
  readonly #rows: AliasRows;
  readonly #view: AliasView;
  readonly #writes: AliasWrites;

  constructor(db: Kysely<Schema>, state: StateTable, domains: DomainTable, graph: AliasGraph) {
    this.#db = db;
    this.#domains = domains;
    this.#graph = graph;
    this.#rows = new AliasRows(db, domains.within);
    this.#view = new AliasView(db, domains.within);
    this.#writes = new AliasWrites(db, state, graph, this.#rows);
    this.approvals = new AliasApprovals(db, this.#view, this.#writes);
  }

  async find(address: AddressParts): Promise<Alias | undefined> {
    if (!this.#domains.covers(address.domain)) return undefined;
    const [found] = await this.#rows.all(
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
    return this.#rows.all(conditions.length === 0 ? sql`true` : sql.join(conditions, sql` AND `), limit);
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
      WHERE domains.erase_after IS NULL${this.#rows.andWithin()}${ofDomain}${ofTarget}`.execute(this.#db);
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
    const id = await this.#writes.write({ domainId: domain.id, localPart, address, sendAs }, at);
    await this.#writes.setTargets(id, standing);
    await this.#writes.lead(id, at);
    return {
      alias: await this.get({ email: address, localPart, domain: domain.name }),
      created: before === undefined,
    };
  }

  /** The domains of these addresses that are ours: registered, or aliases of a registered one. */
  ownDomains(addresses: readonly AddressParts[]): Promise<Set<string>> {
    return this.#view.ownDomains(addresses.map(({ domain }) => domain));
  }

  /** Those of these addresses, all in own domains, whose mail goes on to outside by an approval for their own mail. */
  leadingOutside(addresses: readonly AddressParts[]): Promise<Set<string>> {
    return this.#view.leadingOutside(addresses);
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

  remove(alias: Alias, at: string): Promise<void> {
    return this.#writes.remove(alias, at);
  }

  /** Where these aliases lead, as this caller may know it. */
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
        AND domains.erase_after IS NULL${this.#rows.andWithin()}
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

  /** The address for postmaster@ and abuse@ of every domain. */
  async shared(): Promise<string | undefined> {
    const { rows } = await sql<{ target: string }>`SELECT target.local_part || '@' || target.domain AS target
      FROM aliases JOIN alias_targets AS target ON target.alias_id = aliases.id
      WHERE aliases.domain_id IS NULL`.execute(this.#db);
    return rows[0]?.target;
  }

  /** Sets it; undefined removes it. It needs no approval, because only the operator sets it. */
  setShared(target: AddressParts | undefined, at: string): Promise<void> {
    return this.#writes.setShared(target, at);
  }

  async #standings(targets: readonly AddressParts[], before: readonly Target[]): Promise<Target[]> {
    const own = await this.#view.ownDomains(targets.map(({ domain }) => domain));
    const approved = new Set(await this.approvals.domains());
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
}

function circle(alias: string, back: string): MailError {
  return new MailError(
    "invalid_input",
    `The alias ${alias} leads to ${back}, which would lead back to it.`,
    text`Nothing was changed. Remove that alias first with ${next("remove-alias", { address: alias })}.`,
  );
}
