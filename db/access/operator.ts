import type { Kysely } from "kysely";
import type { Schema } from "../schema.ts";

/** The operator's sign-in password, as a hash. */
export class OperatorTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** `{BLF-CRYPT}$2b$…`; undefined while no password is set. */
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
