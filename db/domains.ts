import { type Kysely, sql } from "kysely";
import { MailError } from "../src/mail/error.ts";
import { StateDigest } from "../src/sync/digest.ts";
import type { Schema } from "./schema.ts";
import type { DigestDifference, StateTable } from "./state.ts";

export interface Domain {
  id: number;
  name: string;
  userCount: number;
  inactiveUserCount: number;
  createdAt: string;
}

/** Mail domains, with counts of their users that the users' own changes keep. */
export class DomainTable {
  readonly #db: Kysely<Schema>;
  readonly #state: StateTable;

  constructor(db: Kysely<Schema>, state: StateTable) {
    this.#db = db;
    this.#state = state;
  }

  async find(name: string): Promise<Domain | undefined> {
    const row = await this.#db.selectFrom("domains").selectAll().where("name", "=", name).executeTakeFirst();
    return row && toDomain(row);
  }

  /** @throws MailError domain_not_found */
  async get(name: string): Promise<Domain> {
    const domain = await this.find(name);
    if (domain !== undefined) return domain;
    throw new MailError(
      "domain_not_found",
      `The domain ${name} is not registered.`,
      "Register it first with m25_mail_add_domain, or see the registered ones with m25_mail_list_domains.",
    );
  }

  /** At most `limit` domains in order of name, beginning after `after`. */
  async page(limit: number, after: string | undefined): Promise<Domain[]> {
    let query = this.#db.selectFrom("domains").selectAll().orderBy("name").limit(limit);
    if (after !== undefined) query = query.where("name", ">", after);
    return (await query.execute()).map(toDomain);
  }

  /** @throws MailError domain_exists */
  async add(name: string, at: string): Promise<Domain> {
    if ((await this.find(name)) !== undefined) {
      throw new MailError(
        "domain_exists",
        `The domain ${name} is registered already.`,
        "Nothing needs to be done; add mailboxes to it with m25_mail_add_user.",
      );
    }
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
    return toDomain(row);
  }

  /** Removes a domain and its inactive mailboxes. The caller has seen to it that it has no active ones. */
  async remove(domain: Domain, at: string): Promise<void> {
    await this.#state.change({ before: { domain: domain.name }, at });
    await this.#db.deleteFrom("users").where("domain_id", "=", domain.id).execute();
    await this.#db.deleteFrom("domains").where("id", "=", domain.id).execute();
    await this.#state.addTotals({ domains: -1, users: 0, inactiveUsers: -domain.inactiveUserCount });
  }

  /** Enters a change of one of the domain's mailboxes into its counts and its digest. */
  async userChanged(
    id: number,
    difference: { users: number; inactiveUsers: number; digests: DigestDifference },
  ): Promise<void> {
    const { digest, mx_digest } = await this.#db
      .selectFrom("domains")
      .select(["digest", "mx_digest"])
      .where("id", "=", id)
      .executeTakeFirstOrThrow();
    await this.#db
      .updateTable("domains")
      .set({
        user_count: sql`user_count + ${difference.users}`,
        inactive_user_count: sql`inactive_user_count + ${difference.inactiveUsers}`,
        digest: StateDigest.fromHex(digest).addDigest(difference.digests.mail).toString(),
        mx_digest: StateDigest.fromHex(mx_digest).addDigest(difference.digests.mx).toString(),
      })
      .where("id", "=", id)
      .execute();
    await this.#state.addTotals({ domains: 0, ...difference });
  }
}

function toDomain(row: {
  id: number;
  name: string;
  user_count: number;
  inactive_user_count: number;
  created_at: string;
}): Domain {
  return {
    id: row.id,
    name: row.name,
    userCount: row.user_count,
    inactiveUserCount: row.inactive_user_count,
    createdAt: row.created_at,
  };
}
