import { type Kysely, sql } from "kysely";
import type { Address } from "../../src/mail/address.ts";
import type { AddressStart } from "../../src/mail/address-start.ts";
import { MailError } from "../../src/mail/error.ts";
import { newMailboxId } from "../../src/mail/mailbox.ts";
import { sendingLimitText } from "../../src/mail/sending-limit.ts";
import { next, text } from "../../src/mail/text.ts";
import type { UserRecord } from "../../src/sync/records.ts";
import type { AliasGraph } from "../aliases/graph.ts";
import type { Domain, DomainTable, UserDifference } from "../domains/domains.ts";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import { addDifference, differenceOf, noDifference, replacement, type StateTable } from "../state.ts";
import { together } from "../together.ts";
import { listOf } from "../within.ts";
import { toUser, type User, type UserPosition, type UserRow, usersByDomain, usersFirst } from "./rows.ts";
import { UserSearch } from "./search.ts";

/** A mailbox to add. */
export type NewUser = Pick<User, "localPart" | "domain" | "passwordHash" | "quotaMb" | "active">;

/**
 * Mailboxes of the domains that `domains` knows; methods for the operator alone say that they read all domains. Every change
 * updates the counts, digests and revision that depend on it.
 */
export class UserTable {
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

  async find(address: Pick<Address, "domain" | "localPart">): Promise<User | undefined> {
    // Check before any query: not even the time may reveal a mailbox of another domain.
    if (!this.#domains.covers(address.domain)) return undefined;
    const row = await this.#rows()
      .where("domains.name", "=", address.domain)
      .where("users.local_part", "=", address.localPart)
      .executeTakeFirst();
    return row && toUser(row);
  }

  /** @throws MailError user_not_found */
  async get(address: Address): Promise<User> {
    const user = await this.find(address);
    if (user !== undefined) return user;
    const { email, domain } = address;
    if ((await this.#domains.find(domain)) === undefined) {
      throw new MailError(
        "user_not_found",
        `There is no mailbox ${email}: the domain ${domain} is not registered.`,
        text`See the domains with ${next("list-domains")}.`,
      );
    }
    throw new MailError(
      "user_not_found",
      `There is no mailbox ${email}.`,
      text`List the domain's mailboxes with ${next("list-users", { domain })}. A hard-deleted mailbox cannot be brought back.`,
    );
  }

  /** At most `limit` users in order of domain, then local part. */
  async page(limit: number, domain: string | undefined, after: UserPosition | undefined): Promise<User[]> {
    const begun = domain ?? after?.domain;
    const localPart = after?.domain === begun ? after?.localPart : undefined;
    const users = begun === undefined ? [] : await this.#ofDomain(begun, limit, localPart);
    if (domain !== undefined || users.length === limit) return users;
    return [...users, ...(await this.#ofNextDomains(limit - users.length, begun))];
  }

  /** Domain by domain, as PostgreSQL would sort the whole of a domain for an order over domains. */
  async #ofNextDomains(limit: number, after: string | undefined): Promise<User[]> {
    const whole: string[] = [];
    let room = limit;
    for (const { name, users } of await this.#domains.withUsers(limit, after)) {
      if (users > room) return [...(await this.#ofDomains(whole)), ...(await this.#ofDomain(name, room))];
      whole.push(name);
      room -= users;
    }
    return this.#ofDomains(whole);
  }

  async #ofDomain(name: string, limit: number, after = ""): Promise<User[]> {
    if (!this.#domains.covers(name)) return [];
    // Not a join: PostgreSQL would sort its rows.
    const domain = this.#db
      .selectFrom("domains")
      .select("id")
      .where("name", "=", name)
      .where("erase_after", "is", null);
    const rows = this.#db
      .selectFrom("users")
      .selectAll()
      .where("domain_id", "=", domain)
      .where("local_part", ">", after)
      .orderBy("local_part")
      .limit(atMost(limit));
    return (await rows.execute()).map((row) => toUser({ ...row, domain: name }));
  }

  async #ofDomains(names: readonly string[]): Promise<User[]> {
    if (names.length === 0) return [];
    const rows = this.#rows()
      .where("domains.name", "in", listOf(names))
      .orderBy("domains.name")
      .orderBy("users.local_part");
    return (await rows.execute()).map(toUser);
  }

  /** Mailboxes by the start of their address; with a domain, only that one's. */
  startingWith(start: AddressStart, domain: string | undefined): UserSearch {
    return new UserSearch(this.#db, this.#domains.within, start, domain);
  }

  /** The inactive mailboxes of all domains, longest inactive first. */
  async inactive(): Promise<User[]> {
    return (await this.#inactive().execute()).map(toUser);
  }

  #inactive() {
    return usersFirst(this.#db)
      .selectAll("users")
      .select("domains.name as domain")
      .where(sql<boolean>`users.active = 0`) // a literal, so that SQLite can use the index on inactive users
      .orderBy("users.updated_at");
  }

  /**
   * Removes for good at most `limit` mailboxes of all domains that have been inactive since before `time`, longest first. The
   * revision stays, because no node serves them.
   */
  async purge(time: string, limit: number): Promise<User[]> {
    const rows = await this.#inactive().where("users.updated_at", "<", time).limit(atMost(limit)).execute();
    const ids = JSON.stringify(rows.map(({ id }) => id));
    await sql`UPDATE domains SET inactive_user_count = inactive_user_count - gone.number
      FROM (SELECT domain_id, count(*) AS number FROM users
        WHERE id IN (SELECT CAST(value AS bigint) FROM json_each(${ids})) GROUP BY domain_id) AS gone
      WHERE domains.id = gone.domain_id`.execute(this.#db);
    await sql`DELETE FROM users WHERE id IN (SELECT CAST(value AS bigint) FROM json_each(${ids}))`.execute(
      this.#db,
    );
    await this.#state.addTotals({ domains: 0, users: 0, inactiveUsers: -rows.length });
    return rows.map(toUser);
  }

  async add(
    domain: Domain,
    localPart: string,
    values: { passwordHash: string; quotaMb: number },
    at: string,
  ): Promise<User> {
    const user = {
      domainId: domain.id,
      email: `${localPart}@${domain.name}`,
      localPart,
      domain: domain.name,
      mailbox: newMailboxId(),
      ...values,
      heldHash: null,
      appPasswords: [],
      sendingLimit: null,
      active: true,
      createdAt: at,
      updatedAt: at,
    };
    const revision = await this.#state.nextRevision();
    const insert = this.#db
      .insertInto("users")
      .values({
        domain_id: user.domainId,
        local_part: user.localPart,
        mailbox: user.mailbox,
        password_hash: user.passwordHash,
        quota_mb: user.quotaMb,
        active: 1,
        revision,
        created_at: at,
        updated_at: at,
      })
      .returning("id");
    const [{ id }] = await together(
      insert.executeTakeFirstOrThrow(),
      this.#changed(domain.id, undefined, user, at),
    );
    return { id, ...user };
  }

  /** The mailboxes of all domains that have one of these addresses, active or not, by address. */
  async existing(addresses: readonly Pick<Address, "domain" | "localPart">[]): Promise<Map<string, User>> {
    const pairs = JSON.stringify(addresses.map(({ domain, localPart }) => [domain, localPart]));
    const { rows } = await sql<UserRow>`SELECT users.*, domains.name AS domain
      FROM json_each(${pairs}) AS pair CROSS JOIN domains CROSS JOIN users
      WHERE domains.name = pair.value ->> 0 AND users.domain_id = domains.id
        AND users.local_part = pair.value ->> 1`.execute(this.#db);
    return new Map(rows.map(toUser).map((user) => [user.email, user]));
  }

  /** The active mailboxes of all domains, without those that have one of these addresses. */
  async activeExcept(emails: readonly string[]): Promise<User[]> {
    const { rows } = await sql<UserRow>`SELECT users.*, domains.name AS domain
      FROM domains CROSS JOIN users WHERE users.domain_id = domains.id AND users.active = 1
        AND domains.erase_after IS NULL AND users.local_part || '@' || domains.name NOT IN (SELECT value FROM json_each(${JSON.stringify(emails)}))
      ORDER BY domains.name, users.local_part`.execute(this.#db);
    return rows.map(toUser);
  }

  /** The number of active mailboxes whose hashes Dovecot 2.4 refuses, in these domains, or with null in all. */
  async weakCount(domains: readonly string[] | null): Promise<number> {
    const ofDomains =
      domains === null
        ? sql``
        : sql` WHERE domain IN (SELECT value FROM json_each(${JSON.stringify(domains)}))`;
    const { rows } = await sql<{
      number: number;
    }>`SELECT count(*) AS number FROM weak_users${ofDomains}`.execute(this.#db);
    return rows[0]?.number ?? 0;
  }

  /** The addresses of the active mailboxes in all domains whose hashes Dovecot 2.4 refuses. */
  async withWeakHashes(): Promise<string[]> {
    const { rows } = await sql<{ email: string }>`SELECT local_part || '@' || domain AS email FROM weak_users
      ORDER BY domain, local_part`.execute(this.#db);
    return rows.map(({ email }) => email);
  }

  /** Adds many mailboxes, none of which exists, to domains that are registered. */
  async addAll(users: readonly NewUser[], at: string): Promise<void> {
    const ids = await this.#domains.ids([...new Set(users.map(({ domain }) => domain))]);
    const added = users.map((user) => ({
      ...user,
      email: `${user.localPart}@${user.domain}`,
      mailbox: newMailboxId(),
      appPasswords: [],
      sendingLimit: null,
    }));
    const differences = new Map<number, UserDifference>();
    const all = noDifference();
    for (const [name, ofDomain] of Map.groupBy(added, ({ domain }) => domain)) {
      const records = ofDomain.map(servedRecord).filter((record) => record !== undefined);
      const digests = differenceOf(records);
      const inactiveUsers = ofDomain.length - records.length;
      differences.set(ids.get(name) ?? 0, { users: records.length, inactiveUsers, digests });
      addDifference(all, digests);
    }
    const records = added.map(servedRecord).filter((record) => record !== undefined);
    if (records.length > 0) await this.#state.addAll(records, all, at);
    await this.#domains.usersAdded(differences);
    const revision = await this.#state.revision();
    const rows = added.map((user) => [
      ids.get(user.domain),
      user.localPart,
      user.mailbox,
      user.passwordHash,
      user.quotaMb,
      user.active ? 1 : 0,
    ]);
    await sql`INSERT INTO users
        (domain_id, local_part, mailbox, password_hash, quota_mb, active, revision, created_at, updated_at)
      SELECT CAST(value ->> 0 AS bigint), value ->> 1, value ->> 2, value ->> 3, CAST(value ->> 4 AS bigint),
        CAST(value ->> 5 AS bigint), ${revision}, ${at}, ${at}
      FROM json_each(${JSON.stringify(rows)})`.execute(this.#db);
    await this.#graph.mailboxesChanged(
      added.filter(({ active }) => active),
      at,
    );
  }

  /**
   * Changes a mailbox. A new password, a login that is turned off or on, and a soft delete also end its password link, and
   * its app passwords unless `change` has them.
   */
  async update(
    user: User,
    change: Partial<
      Pick<User, "passwordHash" | "heldHash" | "quotaMb" | "appPasswords" | "sendingLimit" | "active">
    >,
    at: string,
  ): Promise<User> {
    const endsAccess = (["passwordHash", "heldHash", "active"] as const).some(
      (name) => change[name] !== undefined && change[name] !== user[name],
    );
    const next = { ...user, ...(endsAccess && { appPasswords: [] }), ...change, updatedAt: at };
    const revision = await this.#changed(user.domainId, user, next, at);
    await this.#db
      .updateTable("users")
      .set({
        password_hash: next.passwordHash,
        held_hash: next.heldHash,
        quota_mb: next.quotaMb,
        app_passwords: next.appPasswords.length === 0 ? null : JSON.stringify(next.appPasswords),
        sending_limit: next.sendingLimit && sendingLimitText(next.sendingLimit),
        active: next.active ? 1 : 0,
        revision,
        updated_at: at,
      })
      .where("id", "=", user.id)
      .execute();
    if (endsAccess) {
      await this.#db.deleteFrom("password_links").where("user_id", "=", user.id).execute();
    }
    return next;
  }

  /** Gives a mailbox another address, which no other one has. Its id stays, and so its mail. */
  async rename(user: User, domain: Domain, localPart: string, at: string): Promise<User> {
    const next = {
      ...user,
      domainId: domain.id,
      domain: domain.name,
      localPart,
      email: `${localPart}@${domain.name}`,
      updatedAt: at,
    };
    await this.#changed(user.domainId, user, undefined, at);
    const revision = await this.#changed(domain.id, undefined, next, at);
    await this.#db
      .updateTable("users")
      .set({ domain_id: domain.id, local_part: localPart, revision, updated_at: at })
      .where("id", "=", user.id)
      .execute();
    await this.#db
      .updateTable("mailbox_usage")
      .set({ domain_id: domain.id })
      .where("user_id", "=", user.id)
      .where("domain_id", "is not", null)
      .execute();
    return next;
  }

  async remove(user: User, at: string): Promise<void> {
    await this.#changed(user.domainId, user, undefined, at);
    await this.#db.deleteFrom("users").where("id", "=", user.id).execute();
  }

  /**
   * Updates counts, digests, removals and revision for a change from `before` to `after`. Only a change of what nodes serve
   * makes a new revision: an inactive mailbox can come and go without one.
   */
  async #changed(
    domainId: number,
    before: ServedUser | undefined,
    after: ServedUser | undefined,
    at: string,
  ): Promise<number> {
    const served = { before: servedRecord(before), after: servedRecord(after) };
    const touchesNodes = served.before !== undefined || served.after !== undefined;
    const known = before ?? after;
    const active = after?.active === true;
    const isInService = known !== undefined && (before?.active === true) !== active;
    const difference = replacement(served.before, served.after);
    const [leading] = await together(
      this.#graph.leadingToMailboxes(isInService ? [{ ...known, active }] : []),
      this.#domains.userChanged(domainId, {
        users: count(after, true) - count(before, true),
        inactiveUsers: count(after, false) - count(before, false),
        digests: difference,
      }),
      touchesNodes ? this.#state.change({ ...served, at, difference }) : Promise.resolve(),
    );
    await this.#graph.publishLeading(leading, at);
    return this.#state.revision();
  }

  #rows() {
    return usersByDomain(this.#db, this.#domains.within).selectAll("users").select("domains.name as domain");
  }
}

type ServedUser = Pick<
  User,
  | "email"
  | "localPart"
  | "domain"
  | "passwordHash"
  | "quotaMb"
  | "appPasswords"
  | "sendingLimit"
  | "mailbox"
  | "active"
>;

function servedRecord(user: ServedUser | undefined): UserRecord | undefined {
  if (user === undefined || !user.active) return undefined;
  const { appPasswords, sendingLimit } = user;
  return {
    user: user.email,
    password: user.passwordHash,
    quota_mb: user.quotaMb,
    mailbox: user.mailbox,
    ...(appPasswords.length > 0 && {
      app_passwords: Object.fromEntries(appPasswords.map(({ selector, hash }) => [selector, hash])),
    }),
    ...(sendingLimit !== null && { sending_limit: sendingLimit }),
  };
}

function count(user: ServedUser | undefined, active: boolean): number {
  return user?.active === active ? 1 : 0;
}
