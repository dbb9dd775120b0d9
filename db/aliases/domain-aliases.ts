import { type Kysely, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { next, text } from "../../src/mail/text.ts";
import { addToDomains } from "../domains/domain-figures.ts";
import type { Domain, DomainTable } from "../domains/domains.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import type { StateTable } from "../state.ts";
import type { AliasGraph } from "./graph.ts";
import { outsideOf, refuseOpened } from "./outside.ts";

/** A domain whose addresses are those of another one. */
export interface DomainAlias {
  name: string;
  of: string;
}

/** Domain aliases of the domains that `domains` knows. Their names are not registered as domains. */
export class DomainAliasTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #domains: DomainTable;
  readonly #graph: AliasGraph;

  constructor(db: Kysely<Schema>, state: StateTable, domains: DomainTable, graph: AliasGraph) {
    this.#db = db;
    this.#state = state;
    this.#domains = domains;
    this.#graph = graph;
  }

  /** At most `limit` by name; of one domain if it is given. */
  async page(limit: number, of: string | undefined): Promise<DomainAlias[]> {
    const { within } = this.#domains;
    const names = of === undefined ? within && [...within] : [of];
    const covered =
      names === undefined
        ? sql``
        : sql` AND domains.name IN (SELECT value FROM json_each(${JSON.stringify(names)}))`;
    const { rows } = await sql<DomainAlias>`SELECT domain_aliases.name, domains.name AS of
      FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
      WHERE domains.erase_after IS NULL${covered} ORDER BY domain_aliases.name LIMIT ${atMost(limit)}`.execute(
      this.#db,
    );
    return rows;
  }

  /** Those of these names that are domain aliases, with the domains that they are of. */
  async named(names: readonly string[]): Promise<Map<string, string>> {
    const { rows } = await sql<DomainAlias>`SELECT domain_aliases.name, domains.name AS of
      FROM domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id
      WHERE domain_aliases.name IN (SELECT value FROM json_each(${JSON.stringify(names)}))`.execute(this.#db);
    return new Map(rows.map(({ name, of }) => [name, of]));
  }

  /**
   * @throws MailError forbidden, domain_exists, domain_not_found; invalid_input if by it mail of aliases would go outside, or
   *   too many aliases would lead to one address
   */
  async set(name: string, domain: Domain, at: string): Promise<void> {
    this.#refuseForeign(name);
    if ((await this.#domains.find(name)) !== undefined) {
      throw new MailError(
        "domain_exists",
        `The domain ${name} is registered with mailboxes of its own.`,
        text`Nothing was changed. A domain alias is a name that is not registered: see ${next("list-domains")}.`,
      );
    }
    const before = await this.#of(name);
    if (before?.id === domain.id) return;
    const leading = await this.#graph.leadingInto([name]);
    const outside = await outsideOf(this.#db, leading);
    if (before !== undefined) await this.#delete(name, before, at);
    const digests = await this.#state.change({ after: { domain_alias: name, of: domain.name }, at });
    await this.#db
      .insertInto("domain_aliases")
      .values({ name, domain_id: domain.id, revision: await this.#state.nextRevision() })
      .execute();
    await addToDomains(this.#db, new Map([[domain.id, { domainAliases: 1, digests }]]));
    await this.#state.addAliases(0, 1);
    await this.#graph.update(leading, at);
    await this.#graph.refuseCrowd(leading);
    refuseOpened(name, outside, await outsideOf(this.#db, leading), this.#domains.within);
  }

  /**
   * @returns the domain whose alias it was
   * @throws MailError alias_not_found
   */
  async remove(name: string, at: string): Promise<string> {
    const of = this.#domains.covers(name) ? await this.#of(name) : undefined;
    if (of === undefined) {
      throw new MailError(
        "alias_not_found",
        `There is no domain alias ${name}.`,
        text`See the domain aliases with ${next("list-aliases")}.`,
      );
    }
    await this.#delete(name, of, at);
    await this.#graph.update(await this.#graph.leadingInto([name]), at);
    return of.name;
  }

  async #of(name: string): Promise<{ id: number; name: string } | undefined> {
    return this.#db
      .selectFrom("domain_aliases")
      .innerJoin("domains", "domains.id", "domain_aliases.domain_id")
      .select(["domains.id", "domains.name"])
      .where("domain_aliases.name", "=", name)
      .executeTakeFirst();
  }

  async #delete(name: string, of: { id: number; name: string }, at: string): Promise<void> {
    const digests = await this.#state.change({ before: { domain_alias: name, of: of.name }, at });
    await this.#db.deleteFrom("domain_aliases").where("name", "=", name).execute();
    await addToDomains(this.#db, new Map([[of.id, { domainAliases: -1, digests }]]));
    await this.#state.addAliases(0, -1);
  }

  #refuseForeign(name: string): void {
    if (this.#domains.covers(name)) return;
    throw new MailError(
      "forbidden",
      `This access is for some domains only, and ${name} is not one of them.`,
      "Ask the operator to set it, or for access to that domain.",
    );
  }
}
