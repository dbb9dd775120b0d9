import { type Kysely, sql } from "kysely";
import type { AddressStart } from "../src/mail/address-start.ts";
import type { Schema } from "./schema.ts";
import { atMost } from "./statements.ts";
import { toUser, type User, type UserPosition, usersByDomain } from "./user-rows.ts";

/** After a text comes this one before any other that begins with it: "!" sorts before all that addresses have. */
const next = (text: string) => `${text}!`;
/** After all texts that begin with this one: "~" sorts after all that addresses have. */
const afterAll = (text: string) => `${text}~`;

/**
 * Mailboxes whose address begins in one way, of the domains in `within`. By an index, whatever is searched: in all
 * domains by local part, else domain by domain, for no other domain's mailbox may make it slower.
 */
export class UserSearch {
  readonly #db: Kysely<Schema>;
  readonly #within: ReadonlySet<string> | undefined;
  readonly #start: AddressStart;
  readonly #domain: string | undefined;
  readonly #below: string;

  constructor(
    db: Kysely<Schema>,
    within: ReadonlySet<string> | undefined,
    start: AddressStart,
    domain: string | undefined,
  ) {
    this.#db = db;
    this.#within = within;
    this.#start = start;
    this.#domain = domain;
    this.#below = start.domain === undefined ? afterAll(start.localPart) : next(start.localPart);
  }

  /** At most `limit` users, in an order that stays the same from page to page. */
  async page(limit: number, after: UserPosition | undefined): Promise<User[]> {
    const query = this.#isOfAllDomains()
      ? this.#byLocalPart(after).orderBy("users.local_part").orderBy("users.domain_id")
      : this.#byDomain(after).orderBy("domains.name").orderBy("users.local_part");
    const rows = await query
      .selectAll("users")
      .select("domains.name as domain")
      .limit(atMost(limit))
      .execute();
    return rows.map(toUser);
  }

  /** How many there are, counted to `most`. */
  async count(most: number): Promise<number> {
    const query = this.#isOfAllDomains()
      ? this.#db.selectFrom("users").where(this.#isInRange())
      : this.#byDomain(undefined);
    const found = query.select("users.id").limit(atMost(most)).as("found");
    const { count } = await this.#db
      .selectFrom(found)
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    return count;
  }

  #isOfAllDomains(): boolean {
    return this.#within === undefined && this.#domain === undefined && this.#start.domain === undefined;
  }

  #isInRange() {
    return sql<boolean>`users.local_part >= ${this.#start.localPart} AND users.local_part < ${this.#below}`;
  }

  #byLocalPart(after: UserPosition | undefined) {
    const query = this.#db
      .selectFrom("users")
      .crossJoin("domains")
      .whereRef("domains.id", "=", "users.domain_id");
    if (after === undefined || after.localPart < this.#start.localPart) return query.where(this.#isInRange());
    // Where the last domain is gone, its local part begins again: rather twice than not at all.
    const last = sql<number>`coalesce((SELECT id FROM domains AS last WHERE last.name = ${after.domain}), 0)`;
    return query
      .where(sql<boolean>`(users.local_part, users.domain_id) > (${after.localPart}, ${last})`)
      .where("users.local_part", "<", this.#below);
  }

  #byDomain(after: UserPosition | undefined) {
    const { localPart, domain: start } = this.#start;
    let query = usersByDomain(this.#db, this.#within);
    if (this.#domain !== undefined) query = query.where("domains.name", "=", this.#domain);
    if (start !== undefined) {
      query = query.where("domains.name", ">=", start.text).where("domains.name", "<", afterAll(start.text));
      if (start.endsLabel) {
        query = query.where(sql<boolean>`substr(domains.name, ${start.text.length + 1}, 1) IN ('', '.')`);
      }
    }
    if (after === undefined) return query.where(this.#isInRange());
    // For each domain one bound, by which the index on users is entered at the right place.
    const from = next(after.localPart) > localPart ? next(after.localPart) : localPart;
    const bound = sql<string>`CASE WHEN domains.name = ${after.domain} THEN ${from} ELSE ${localPart} END`;
    return query
      .where("domains.name", ">=", after.domain)
      .where("users.local_part", ">=", bound)
      .where("users.local_part", "<", this.#below);
  }
}
