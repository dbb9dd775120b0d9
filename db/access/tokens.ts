import type { Kysely, Selectable } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { operator, text } from "../../src/mail/text.ts";
import type { Schema } from "../schema.ts";

export interface Token {
  id: number;
  name: string;
  tokenId: string;
  tokenHash: string;
  /** Names of the granted scopes. */
  scopes: string[];
  /** The domains that the token is limited to; null for all. */
  domains: string[] | null;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
}

/** Access tokens for HTTP, as hashes. Revoking a token deletes its row. */
export class TokenTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async all(): Promise<Token[]> {
    return (await this.#db.selectFrom("tokens").selectAll().orderBy("name").execute()).map(toToken);
  }

  /** True if a token was ever created, even if it was revoked since. */
  async wereThereEver(): Promise<boolean> {
    return (await this.#db.selectFrom("first_token").select("at").executeTakeFirst()) !== undefined;
  }

  /** @throws MailError token_exists */
  async add(
    token: {
      name: string;
      tokenId: string;
      tokenHash: string;
      scopes: readonly string[];
      domains: readonly string[] | null;
      expiresAt: string | null;
    },
    at: string,
  ): Promise<void> {
    const row = await this.#db
      .insertInto("tokens")
      .values({
        name: token.name,
        token_id: token.tokenId,
        token_hash: token.tokenHash,
        scopes: token.scopes.join(" "),
        domains: token.domains && JSON.stringify(token.domains),
        created_at: at,
        expires_at: token.expiresAt,
      })
      .onConflict((conflict) => conflict.column("name").doNothing())
      .returning("id")
      .executeTakeFirst();
    if (row !== undefined) return;
    throw new MailError(
      "token_exists",
      `A token named ${token.name} exists already.`,
      text`Choose another name, or revoke that one first: ${operator("token revoke NAME")}.`,
    );
  }

  /** Time of the last use of any token; null if none was used. */
  async lastUse(): Promise<string | null> {
    const { at } = await this.#db
      .selectFrom("tokens")
      .select(({ fn }) => fn.max<string | null>("last_used_at").as("at"))
      .executeTakeFirstOrThrow();
    return at;
  }

  /** @throws MailError token_not_found */
  async remove(name: string): Promise<void> {
    const row = await this.#db
      .deleteFrom("tokens")
      .where("name", "=", name)
      .returning("id")
      .executeTakeFirst();
    if (row !== undefined) return;
    throw new MailError(
      "token_not_found",
      `There is no token named ${name}.`,
      text`See them with: ${operator("token list")}`,
    );
  }
}

export function toToken(row: Selectable<Schema["tokens"]>): Token {
  return {
    id: row.id,
    name: row.name,
    tokenId: row.token_id,
    tokenHash: row.token_hash,
    scopes: row.scopes.split(" "),
    domains: row.domains === null ? null : JSON.parse(row.domains),
    createdAt: row.created_at,
    expiresAt: row.expires_at,
    lastUsedAt: row.last_used_at,
  };
}
