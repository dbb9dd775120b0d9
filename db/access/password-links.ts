import type { Kysely } from "kysely";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";
import { type User, usersFirst } from "../users/rows.ts";

/** Links to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

/** `first` for somebody who has no password yet, `reset` for a new one. Only the page's words differ. */
export type LinkKind = Schema["password_links"]["kind"];

export interface PasswordLink {
  id: string;
  /** SHA-256, in hexadecimal, of the whole link token. */
  hash: string;
  kind: LinkKind;
  expiresAt: string;
}

/** The links by which owners of active mailboxes choose their passwords. UserTable ends them. */
export class PasswordLinkTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  /** Gives a mailbox this link, in place of an earlier one. */
  async set({ id: userId }: User, { id, hash, kind, expiresAt }: PasswordLink): Promise<void> {
    const link = { link_id: id, link_hash: hash, kind, expires_at: expiresAt };
    await this.#db
      .insertInto("password_links")
      .values({ user_id: userId, ...link })
      .onConflict((conflict) => conflict.column("user_id").doUpdateSet(link))
      .execute();
  }

  /** @returns the link, which may be past its end, with its mailbox */
  async find(id: string): Promise<(PasswordLink & { userId: number; email: string }) | undefined> {
    const row = await usersFirst(this.#db)
      .innerJoin("password_links", "password_links.user_id", "users.id")
      .select(["user_id", "link_hash", "kind", "expires_at", "local_part", "domains.name"])
      .where("link_id", "=", id)
      .where("active", "=", 1)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const { user_id: userId, link_hash: hash, kind, expires_at: expiresAt, local_part, name } = row;
    return { id, hash, kind, expiresAt, userId, email: `${local_part}@${name}` };
  }

  async end({ id }: User): Promise<void> {
    await this.#db.deleteFrom("password_links").where("user_id", "=", id).execute();
  }

  /**
   * Deletes some of the links that are past their end.
   *
   * @returns whether there is more to forget
   */
  async forget(now: Date): Promise<boolean> {
    const ended = this.#db
      .selectFrom("password_links")
      .select("user_id")
      .where("expires_at", "<=", now.toISOString())
      .limit(atMost(FORGET_ROWS));
    const { numDeletedRows } = await this.#db
      .deleteFrom("password_links")
      .where("user_id", "in", ended)
      .executeTakeFirstOrThrow();
    return numDeletedRows === BigInt(FORGET_ROWS);
  }
}
