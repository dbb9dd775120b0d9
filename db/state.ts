import { type Kysely, sql } from "kysely";
import { StateDigest } from "../src/sync/digest.ts";
import type { MailRecord } from "../src/sync/records.ts";
import type { Schema } from "./schema.ts";

/** How many rows of each kind there are; kept by the transactions that change them, never counted. */
export interface Totals {
  domains: number;
  users: number;
  inactiveUsers: number;
}

/** One change of what nodes serve: a record set (no `before`), replaced, or removed (no `after`). */
export interface ServedChange {
  before?: MailRecord | undefined;
  after?: MailRecord | undefined;
  at: string;
}

/**
 * The state that nodes must reach: its revision and digest. One instance belongs to one transaction, in
 * which all changes share one new revision.
 */
export class StateTable {
  readonly #db: Kysely<Schema>;
  #bumped: number | undefined;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async revision(): Promise<number> {
    return this.#bumped ?? (await this.#row()).revision;
  }

  /** The id of this database's line of revisions: a node that reports another has applied something else. */
  async history(): Promise<string> {
    return (await this.#row()).history;
  }

  async totals(): Promise<Totals> {
    const row = await this.#row();
    return { domains: row.domain_count, users: row.user_count, inactiveUsers: row.inactive_user_count };
  }

  /** The revision that this transaction's changes carry. */
  async nextRevision(): Promise<number> {
    if (this.#bumped === undefined) {
      const row = await this.#db
        .updateTable("state")
        .set({ revision: sql`revision + 1` })
        .returning("revision")
        .executeTakeFirstOrThrow();
      this.#bumped = row.revision;
    }
    return this.#bumped;
  }

  /**
   * Enters a change of the served records into revision, digest and removals.
   *
   * @returns the digest's summand, for the domain's own digest
   */
  async change({ before, after, at }: ServedChange): Promise<StateDigest> {
    const difference = new StateDigest();
    if (before !== undefined) difference.remove(before);
    if (after !== undefined) difference.add(after);
    const revision = await this.nextRevision();
    const row = await this.#row();
    const digest = StateDigest.fromHex(row.digest).addDigest(difference).toString();
    await this.#db.updateTable("state").set({ digest }).execute();
    if (after !== undefined && before === undefined) await this.#forgetRemoval(after);
    if (before !== undefined && after === undefined) {
      const removal = { ...removalKey(before), revision, removed_at: at };
      await this.#db
        .insertInto("removals")
        .values(removal)
        .onConflict((conflict) => conflict.columns(["kind", "name"]).doUpdateSet(removal))
        .execute();
    }
    return difference;
  }

  async addTotals(difference: Totals): Promise<void> {
    await this.#db
      .updateTable("state")
      .set({
        domain_count: sql`domain_count + ${difference.domains}`,
        user_count: sql`user_count + ${difference.users}`,
        inactive_user_count: sql`inactive_user_count + ${difference.inactiveUsers}`,
      })
      .execute();
  }

  async #forgetRemoval(record: MailRecord): Promise<void> {
    const { kind, name } = removalKey(record);
    await this.#db.deleteFrom("removals").where("kind", "=", kind).where("name", "=", name).execute();
  }

  #row() {
    return this.#db.selectFrom("state").selectAll().executeTakeFirstOrThrow();
  }
}

function removalKey(record: MailRecord): { kind: "domain" | "user"; name: string } {
  return "domain" in record ? { kind: "domain", name: record.domain } : { kind: "user", name: record.user };
}
