import type { Kysely } from "kysely";
import type { Schema } from "./schema.ts";

/** The password with which the operator signs in at the consent page, as a hash. */
export class OperatorTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** `{BLF-CRYPT}$2b$…`, or undefined while no password was set. */
  async passwordHash(): Promise<string | undefined> {
    const row = await this.#db.selectFrom("operator").select("password_hash").executeTakeFirst();
    return row?.password_hash;
  }

  async setPasswordHash(hash: string, at: string): Promise<void> {
    await this.#db
      .insertInto("operator")
      .values({ id: 1, password_hash: hash, changed_at: at })
      .onConflict((conflict) => conflict.column("id").doUpdateSet({ password_hash: hash, changed_at: at }))
      .execute();
  }
}
