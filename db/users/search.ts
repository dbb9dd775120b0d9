import { type Kysely, type SelectQueryBuilder, sql } from "kysely";
import type { AddressStart } from "../../src/mail/address-start.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import { toUser, type User, type UserPosition, usersByDomain, usersFirst } from "./rows.ts";

/** Sorts after this text and before each longer one that begins with it: "!" sorts before every character of addresses. */
const next = (text: string) => `${text}!`;
/** Sorts after all texts that begin with this one: "~" sorts after every character of addresses. */
const afterAll = (text: string) => `${text}~`;

/** A name is rare if fewer mailboxes of all domains begin with it. */
const FEW = 1000;

/**
 * Finds mailboxes by the start of their address, in the domains of `within`. It always uses an index: by local part in
 * all domains, else domain by domain, so that other domains' mailboxes do not slow it down.
 */
export class UserSearch {
  readonly #db: Kysely<Schema>;
  readonly #within: ReadonlySet<string> | undefined;
  readonly #start: AddressStart;
  readonly #domain: string | undefined;
  /** The searched local parts sort before this text. */
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

  /** At most `limit` users, in a stable order across pages. */
  async page(limit: number, after: UserPosition | undefined): Promise<User[]> {
    const rows = await (await this.#ordered(after))
      .selectAll("users")
      .select("domains.name as domain")
      .limit(atMost(limit))
      .execute();
    return rows.map(toUser);
  }

  /** The number of matches, counted up to `most`. */
  async count(most: number): Promise<number> {
    const query = this.#isByLocalPart()
      ? this.#db.selectFrom("users").where(this.#isInRange()).where(this.#isOfDomainInUse())
      : await this.#ordered(undefined);
    return this.#counted(query.select("users.id"), most);
  }

  async #ordered(after: UserPosition | undefined) {
    if (this.#isByLocalPart()) {
      return this.#byLocalPart(after).orderBy("users.local_part").orderBy("users.domain_id");
    }
    const query = (await this.#isRareName()) ? this.#ofRareName(after) : this.#byDomain(after);
    return query.orderBy("domains.name").orderBy("users.local_part");
  }

  #isByLocalPart(): boolean {
    return this.#within === undefined && this.#domain === undefined && this.#start.domain === undefined;
  }

  /** With few mailboxes of a name, checking their domains costs less than a search in each domain. */
  async #isRareName(): Promise<boolean> {
    if (this.#within !== undefined || this.#domain !== undefined) return false;
    const query = this.#db.selectFrom("users").where(this.#isInRange()).select("users.id");
    return (await this.#counted(query, FEW)) < FEW;
  }

  async #counted(query: SelectQueryBuilder<Schema, "users", { id: number }>, most: number): Promise<number> {
    const { count } = await this.#db
      .selectFrom(query.limit(atMost(most)).as("found"))
      .select(({ fn }) => fn.countAll<number>().as("count"))
      .executeTakeFirstOrThrow();
    return count;
  }

  /** Counts without reading each mailbox's domain. */
  #isOfDomainInUse() {
    return sql<boolean>`users.domain_id NOT IN (SELECT id FROM domains WHERE erase_after IS NOT NULL)`;
  }

  #isInRange() {
    return sql<boolean>`users.local_part >= ${this.#start.localPart} AND users.local_part < ${this.#below}`;
  }

  #byLocalPart(after: UserPosition | undefined) {
    const query = usersFirst(this.#db);
    if (after === undefined || after.localPart < this.#start.localPart) return query.where(this.#isInRange());
    // If the last domain is gone, start its local part again: better a mailbox twice than none.
    const last = sql<number>`coalesce((SELECT id FROM domains AS last WHERE last.name = ${after.domain}), 0)`;
    return query
      .where(sql<boolean>`(users.local_part, users.domain_id) > (${after.localPart}, ${last})`)
      .where("users.local_part", "<", this.#below);
  }

  #ofRareName(after: UserPosition | undefined) {
    const query = usersFirst(this.#db).where(this.#isInRange()).where(this.#isInDomain());
    return after === undefined ? query : query.where("domains.name", ">", after.domain);
  }

  #byDomain(after: UserPosition | undefined) {
    const query = usersByDomain(this.#db, this.#within).where(this.#isInDomain());
    if (after === undefined) return query.where(this.#isInRange());
    const { localPart } = this.#start;
    // One bound for each domain, so that SQLite enters the index on users at the right place.
    const from = next(after.localPart) > localPart ? next(after.localPart) : localPart;
    const bound = sql<string>`CASE WHEN domains.name = ${after.domain} THEN ${from} ELSE ${localPart} END`;
    return query
      .where("domains.name", ">=", after.domain)
      .where("users.local_part", ">=", bound)
      .where("users.local_part", "<", this.#below);
  }

  #isInDomain() {
    const { domain } = this.#start;
    const own =
      this.#domain === undefined ? sql<boolean>`true` : sql<boolean>`domains.name = ${this.#domain}`;
    if (domain === undefined) return own;
    const begins = sql<boolean>`${own} AND domains.name >= ${domain.text} AND domains.name < ${afterAll(domain.text)}`;
    if (!domain.endsLabel) return begins;
    return sql<boolean>`${begins} AND substr(domains.name, ${domain.text.length + 1}, 1) IN ('', '.')`;
  }
}
