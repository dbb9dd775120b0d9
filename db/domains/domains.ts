import { type Kysely, type Selectable, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { type SendingLimit, sendingLimitText } from "../../src/mail/sending-limit.ts";
import { next, text } from "../../src/mail/text.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import type { DomainRecord } from "../../src/sync/records.ts";
import type { AliasGraph } from "../aliases/graph.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import { type DigestDifference, differenceOf, type StateTable, type Totals } from "../state.ts";
import { andWithin, listOf } from "../within.ts";
import { addToDomains } from "./domain-figures.ts";
import { ERASED_AT_ONCE, HiddenDomains } from "./hidden-domains.ts";

export interface Domain {
  id: number;
  name: string;
  userCount: number;
  inactiveUserCount: number;
  aliasCount: number;
  domainAliasCount: number;
  createdAt: string;
  /** What its mailboxes may send; null for the nodes' own limits. */
  sendingLimit: SendingLimit | null;
  /** That of its last change. A domain of the same name that is added later has another. */
  revision: number;
}

/** A change of a domain's mailboxes. */
export interface UserDifference {
  users: number;
  inactiveUsers: number;
  digests: DigestDifference;
}

const SEE_DOMAINS = text`See the registered ones with ${next("list-domains")}.`;

type DomainRow = Selectable<Schema["domains"]>;

/**
 * Mail domains with counts of their users, which changes of users keep up to date. `within` limits this table to some
 * domains: any other is not found, registered or not, and cannot be added.
 */
export class DomainTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;
  readonly #hidden: HiddenDomains;
  readonly #graph: AliasGraph;
  readonly within: ReadonlySet<string> | undefined;

  constructor(
    db: Kysely<Schema>,
    state: StateTable,
    graph: AliasGraph,
    within: ReadonlySet<string> | undefined,
  ) {
    this.#db = db;
    this.#state = state;
    this.#graph = graph;
    this.#hidden = new HiddenDomains(db);
    this.within = within;
  }

  covers(name: string): boolean {
    return this.within?.has(name) ?? true;
  }

  async find(name: string): Promise<Domain | undefined> {
    if (!this.covers(name)) return undefined;
    const row = await this.#db.selectFrom("domains").selectAll().where("name", "=", name).executeTakeFirst();
    return row && toDomain(row);
  }

  /**
   * @param hint next step if the domain is not registered
   * @throws MailError domain_not_found
   */
  async get(name: string, hint = SEE_DOMAINS): Promise<Domain> {
    const domain = await this.find(name);
    if (domain !== undefined) return domain;
    throw new MailError(
      "domain_not_found",
      `The domain ${name} is not registered.`,
      this.covers(name) ? hint : text`See the domains that you may use with ${next("list-domains")}.`,
    );
  }

  /** At most `limit` domains by name, starting after `after`. */
  async page(limit: number, after = ""): Promise<Domain[]> {
    const { rows } = await sql<DomainRow>`SELECT * FROM domains
      WHERE name > ${after} AND erase_after IS NULL${andWithin(this.within)} ORDER BY name LIMIT ${atMost(limit)}`.execute(
      this.#db,
    );
    return rows.map(toDomain);
  }

  /** At most `limit` domains with mailboxes, and their number, by name, starting after `after`. */
  async withUsers(limit: number, after = ""): Promise<Array<{ name: string; users: number }>> {
    const { rows } = await sql<{
      name: string;
      users: number;
    }>`SELECT name, user_count + inactive_user_count AS users
      FROM domains WHERE name > ${after} AND user_count + inactive_user_count > 0 AND erase_after IS NULL${andWithin(this.within)}
      ORDER BY name LIMIT ${atMost(limit)}`.execute(this.#db);
    return rows;
  }

  /** The registered ones among these names, at most `limit`. */
  async named(names: readonly string[], limit: number): Promise<string[]> {
    const { rows } = await sql<{ name: string }>`SELECT name FROM domains
      WHERE name IN ${listOf(names)}${andWithin(this.within)}
      ORDER BY name LIMIT ${atMost(limit)}`.execute(this.#db);
    return rows.map(({ name }) => name);
  }

  /** All domains but these. */
  async except(names: readonly string[]): Promise<Domain[]> {
    const { rows } = await sql<DomainRow>`SELECT * FROM domains WHERE erase_after IS NULL
      AND name NOT IN ${listOf(names)}${andWithin(this.within)} ORDER BY name`.execute(this.#db);
    return rows.map(toDomain);
  }

  /** The numbers of domains and mailboxes. */
  async totals(): Promise<Totals> {
    if (this.within === undefined) return this.#state.totals();
    const { rows } = await sql<Totals>`SELECT count(*) AS domains, coalesce(sum(user_count), 0) AS users,
      coalesce(sum(inactive_user_count), 0) AS "inactiveUsers" FROM domains WHERE true${andWithin(this.within)}`.execute(
      this.#db,
    );
    return rows[0] ?? { domains: 0, users: 0, inactiveUsers: 0 };
  }

  /** @throws MailError domain_exists; forbidden for a domain outside of `within`, registered or not */
  async add(name: string, at: string): Promise<Domain> {
    if (!this.covers(name)) {
      throw new MailError(
        "forbidden",
        `This access is for some domains only, and ${name} is not one of them.`,
        "Ask the operator to register it, or for access to that domain.",
      );
    }
    if ((await this.find(name)) !== undefined) {
      throw new MailError(
        "domain_exists",
        `The domain ${name} is registered already.`,
        text`Nothing needs to be done; add mailboxes to it with ${next("add-user")}.`,
      );
    }
    await this.#refuseDomainAliases([name]);
    const difference = await this.#state.change({ after: { domain: name }, at });
    const row = await this.#db
      .insertInto("domains")
      .values({
        name,
        user_count: 0,
        inactive_user_count: 0,
        digest: difference.mail.toString(),
        mx_digest: difference.mx.toString(),
        revision: await this.#state.nextRevision(),
        created_at: at,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
    await this.#state.addTotals({ domains: 1, users: 0, inactiveUsers: 0 });
    await this.#graph.update(await this.#graph.leadingInto([name]), at);
    return toDomain(row);
  }

  /**
   * Removes a domain and its inactive mailboxes. The caller has checked that it has no active ones and no aliases. Many mailboxes are
   * hidden together with the domain and erased in batches later.
   */
  async remove(domain: Domain, at: string): Promise<void> {
    await this.#state.change({ before: servedRecord(domain), at });
    if (domain.inactiveUserCount > ERASED_AT_ONCE) {
      await this.#hidden.hide(domain.id);
    } else {
      await this.#db.deleteFrom("users").where("domain_id", "=", domain.id).execute();
      await this.#db.deleteFrom("domains").where("id", "=", domain.id).execute();
    }
    await this.#state.addTotals({ domains: -1, users: 0, inactiveUsers: -domain.inactiveUserCount });
    await this.#graph.update(await this.#graph.leadingInto([domain.name]), at);
  }

  /** Changes what the domain's mailboxes may send; null for the nodes' own limits. */
  async setSendingLimit(domain: Domain, sendingLimit: SendingLimit | null, at: string): Promise<void> {
    const next = { ...domain, sendingLimit };
    const digests = await this.#state.change({
      before: servedRecord(domain),
      after: servedRecord(next),
      at,
    });
    await this.userChanged(domain.id, { users: 0, inactiveUsers: 0, digests });
    await this.#db
      .updateTable("domains")
      .set({
        sending_limit: sendingLimit && sendingLimitText(sendingLimit),
        revision: await this.#state.nextRevision(),
      })
      .where("id", "=", domain.id)
      .execute();
  }

  /** Updates the domain's counts and digest for a change of one of its mailboxes. */
  async userChanged(id: number, difference: UserDifference): Promise<void> {
    await this.#db
      .updateTable("domains")
      .set({
        user_count: sql`user_count + ${difference.users}`,
        inactive_user_count: sql`inactive_user_count + ${difference.inactiveUsers}`,
        digest: sql`add_digests(digest, ${difference.digests.mail.toString()})`,
        mx_digest: sql`add_digests(mx_digest, ${difference.digests.mx.toString()})`,
      })
      .where("id", "=", id)
      .execute();
    await this.#state.addTotals({ domains: 0, ...difference });
  }

  /** Adds many domains, none of which is registered. */
  async addAll(names: readonly string[], at: string): Promise<void> {
    await this.#refuseDomainAliases(names);
    const records = names.map((domain) => ({ domain }));
    await this.#state.addAll(records, differenceOf(records), at);
    const rows = names.map((name) => [name, new StateDigest().add({ domain: name }).toString()]);
    await sql`INSERT INTO domains
        (name, user_count, inactive_user_count, digest, mx_digest, revision, created_at)
      SELECT value ->> 0, 0, 0, value ->> 1, value ->> 1, ${await this.#state.nextRevision()}, ${at}
      FROM json_each(${JSON.stringify(rows)})`.execute(this.#db);
    await this.#state.addTotals({ domains: names.length, users: 0, inactiveUsers: 0 });
    await this.#graph.update(await this.#graph.leadingInto(names), at);
  }

  /** @throws MailError domain_exists */
  async #refuseDomainAliases(names: readonly string[]): Promise<void> {
    const { rows } = await sql<{ name: string }>`SELECT name FROM domain_aliases
      WHERE name IN ${listOf(names)} LIMIT 1`.execute(this.#db);
    const [found] = rows;
    if (found === undefined) return;
    throw new MailError(
      "domain_exists",
      `The domain ${found.name} is an alias of another domain.`,
      "Nothing was changed. Remove the domain alias first, if it is to have mailboxes of its own.",
    );
  }

  /** The ids of registered domains by their names. */
  async ids(names: readonly string[]): Promise<Map<string, number>> {
    const { rows } = await sql<{ id: number; name: string }>`SELECT id, name FROM domains
      WHERE name IN ${listOf(names)}${andWithin(this.within)}`.execute(this.#db);
    return new Map(rows.map(({ id, name }) => [name, id]));
  }

  /** Does the same as userChanged() for many domains, by their ids. */
  async usersAdded(differences: ReadonlyMap<number, UserDifference>): Promise<void> {
    await addToDomains(this.#db, differences);
    const sum = (key: "users" | "inactiveUsers") =>
      [...differences.values()].reduce((total, difference) => total + difference[key], 0);
    await this.#state.addTotals({ domains: 0, users: sum("users"), inactiveUsers: sum("inactiveUsers") });
  }
}

function servedRecord({ name, sendingLimit }: Domain): DomainRecord {
  return { domain: name, ...(sendingLimit !== null && { sending_limit: sendingLimit }) };
}

function toDomain(row: DomainRow): Domain {
  return {
    id: row.id,
    name: row.name,
    userCount: row.user_count,
    inactiveUserCount: row.inactive_user_count,
    aliasCount: row.alias_count,
    domainAliasCount: row.domain_alias_count,
    createdAt: row.created_at,
    sendingLimit: row.sending_limit === null ? null : JSON.parse(row.sending_limit),
    revision: row.revision,
  };
}
