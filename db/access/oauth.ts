import { hash, randomBytes } from "node:crypto";
import { type Kysely, sql } from "kysely";
import { atMost } from "../row-limit.ts";
import type { Schema } from "../schema.ts";

/** Maximum number of authorization requests that wait for the operator: anybody can begin one. */
const MAX_REQUESTS = 1_000;

/** Rows to delete in one transaction. Other writers wait for it. */
const FORGET_ROWS = 1000;

/** The kinds of records that belong to a grant and end with it. */
const OF_A_GRANT: ReadonlySet<string> = new Set(["AuthorizationCode", "AccessToken", "RefreshToken"]);

export type Payload = Record<string, unknown>;

export interface OAuthRecord {
  payload: Payload;
  /** The grant's id, as operators and the audit log write it. */
  grant: string | null;
  /** The time of its use, in seconds since 1970. */
  consumedAt: number | null;
}

/**
 * The records of the authorization server: grants, codes, tokens, requests under way and registered clients.
 * Each is stored under a hash of the text that the client presents, so a copy of the database opens nothing.
 */
export class OAuthTable {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async find(kind: string, text: string): Promise<OAuthRecord | undefined> {
    return this.#find(kind, "id", stored(text));
  }

  async findByUid(kind: string, uid: string): Promise<OAuthRecord | undefined> {
    return this.#find(kind, "uid", uid);
  }

  /**
   * @param expiresAt seconds since 1970; null for never
   * @returns false, with nothing saved, when its grant has ended
   */
  async save(
    kind: string,
    text: string,
    record: { payload: Payload; grantId: string | null; uid: string | null; expiresAt: number | null },
  ): Promise<boolean> {
    const values = {
      payload: JSON.stringify(record.payload),
      grant_id: record.grantId === null ? null : stored(record.grantId),
      uid: record.uid,
      expires_at: record.expiresAt,
    };
    if (OF_A_GRANT.has(kind) && !(await this.#stands(values.grant_id))) return false;
    await this.#db
      .insertInto("oauth")
      .values({ kind, id: stored(text), ...values })
      .onConflict((conflict) => conflict.columns(["kind", "id"]).doUpdateSet(values))
      .execute();
    return true;
  }

  /**
   * Saves a request that waits for the operator to sign in. At the limit, it replaces a request of the subscriber who
   * has most.
   *
   * @param subscriber the network of the client that began it
   */
  async beginRequest(
    text: string,
    request: { payload: Payload; subscriber: string; expiresAt: number | null },
  ): Promise<void> {
    await this.#db
      .insertInto("oauth")
      .values({
        kind: "Interaction",
        id: stored(text),
        payload: JSON.stringify(request.payload),
        subscriber: request.subscriber,
        expires_at: request.expiresAt,
      })
      .execute();
    await this.#makeRoom();
  }

  /**
   * Saves the outcome of a request. A request whose operator has signed in is never replaced by others.
   *
   * @returns false when the request is gone
   */
  async answerRequest(text: string, answer: { payload: Payload; isSignedIn: boolean }): Promise<boolean> {
    const row = await this.#db
      .updateTable("oauth")
      .set({ payload: JSON.stringify(answer.payload), ...(answer.isSignedIn && { subscriber: null }) })
      .where("kind", "=", "Interaction")
      .where("id", "=", stored(text))
      .returning("id")
      .executeTakeFirst();
    return row !== undefined;
  }

  /** Ends every request that waits for the operator or for its client. */
  async endRequests(): Promise<void> {
    await this.#db.deleteFrom("oauth").where("kind", "=", "Interaction").execute();
  }

  /** Marks a record as used; false when it was used before or is gone. */
  async consume(kind: string, text: string, at: number): Promise<boolean> {
    const row = await this.#db
      .updateTable("oauth")
      .set({ consumed_at: at })
      .where("kind", "=", kind)
      .where("id", "=", stored(text))
      .where("consumed_at", "is", null)
      .returning("id")
      .executeTakeFirst();
    return row !== undefined;
  }

  async remove(kind: string, text: string): Promise<void> {
    await this.#remove(kind, stored(text));
  }

  /**
   * Ends a grant together with its codes and tokens.
   *
   * @returns the grant; undefined when it had ended before
   */
  async endGrant(text: string): Promise<{ id: string; payload: Payload } | undefined> {
    const grant = await this.find("Grant", text);
    const id = stored(text);
    await this.endStoredGrant(id);
    return grant && { id: shortId(id), payload: grant.payload };
  }

  /** @param id the hash that is its key */
  async endStoredGrant(id: string): Promise<void> {
    await this.#db.deleteFrom("oauth").where("grant_id", "=", id).execute();
    await this.#remove("Grant", id);
  }

  /**
   * Deletes some of the expired records.
   *
   * @param now seconds since 1970
   * @returns whether there is more to forget
   */
  async forgetExpired(now: number): Promise<boolean> {
    const { numAffectedRows } = await sql`DELETE FROM oauth WHERE (kind, id) IN
      (SELECT kind, id FROM oauth WHERE expires_at <= ${now} LIMIT ${atMost(FORGET_ROWS)})`.execute(this.#db);
    return numAffectedRows === BigInt(FORGET_ROWS);
  }

  /** The key that signs cookies. It is made once, so that a request under way survives a restart. */
  async cookieKey(): Promise<string> {
    const found = await this.find("CookieKey", "");
    if (found !== undefined) return String(found.payload.key);
    const key = randomBytes(32).toString("base64url");
    await this.save("CookieKey", "", { payload: { key }, grantId: null, uid: null, expiresAt: null });
    return key;
  }

  async #find(kind: string, column: "id" | "uid", value: string): Promise<OAuthRecord | undefined> {
    const row = await this.#db
      .selectFrom("oauth")
      .select(["payload", "grant_id", "consumed_at"])
      .where("kind", "=", kind)
      .where(column, "=", value)
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const { payload, grant_id, consumed_at } = row;
    if (OF_A_GRANT.has(kind) && !(await this.#stands(grant_id))) return undefined;
    return { payload: JSON.parse(payload), grant: grant_id && shortId(grant_id), consumedAt: consumed_at };
  }

  async #remove(kind: string, id: string): Promise<void> {
    await this.#db.deleteFrom("oauth").where("kind", "=", kind).where("id", "=", id).execute();
  }

  async #stands(grantId: string | null): Promise<boolean> {
    const row = await this.#db
      .selectFrom("oauth")
      .select("id")
      .where("kind", "=", "Grant")
      .where("id", "=", grantId)
      .executeTakeFirst();
    return row !== undefined;
  }

  async #makeRoom(): Promise<void> {
    const waiting = this.#db.selectFrom("oauth").where("subscriber", "is not", null);
    const { count } = await waiting.select(sql<number>`count(*)`.as("count")).executeTakeFirstOrThrow();
    if (count <= MAX_REQUESTS) return;
    const whoHasMost = waiting
      .select("subscriber")
      .groupBy("subscriber")
      .orderBy(sql`count(*)`, "desc")
      .orderBy(sql`min(expires_at)`)
      .limit(1);
    const oldest = waiting.select("id").where("subscriber", "=", whoHasMost).orderBy("expires_at").limit(1);
    await this.#db.deleteFrom("oauth").where("kind", "=", "Interaction").where("id", "=", oldest).execute();
  }
}

/** A fast hash is enough: the secrets have 256 random bits. */
function stored(text: string): string {
  return hash("sha256", text);
}

/** The id of a grant, as operators and the audit log write it. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
