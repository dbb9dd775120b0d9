import { hash, randomBytes } from "node:crypto";
import { type Kysely, sql } from "kysely";
import { MailError } from "../src/mail/error.ts";
import type { Schema } from "./schema.ts";

/** How many authorization requests may wait for the operator: anybody can begin one, so the oldest make room. */
const MAX_INTERACTIONS = 1_000;

export type Payload = Record<string, unknown>;

export interface OAuthRecord {
  payload: Payload;
  /** How operators and the audit log call the grant that it belongs to. */
  grant: string | null;
  /** When it was used up, in seconds since 1970. */
  consumedAt: number | null;
}

/** A client that was registered by hand. */
export interface OAuthClient {
  client_id: string;
  redirect_uris: string[];
}

/** What the operator allowed a client, while a code or a token of it is alive. */
export interface OAuthGrant {
  /** Under which it is stored; `id` is the beginning of it. */
  key: string;
  id: string;
  client: string;
  client_id: string;
  scopes: string[];
  domains: string[] | null;
  granted_at: string;
  /** When the client last got an access token. */
  refreshed_at: string | null;
}

/**
 * What the authorization server remembers: grants, codes, tokens, requests under way and registered clients.
 * Each is stored under a hash of the text by which the other side presents it, so that a copy of the database
 * opens nothing.
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

  /** @param expiresAt seconds since 1970; null for never */
  async save(
    kind: string,
    text: string,
    record: { payload: Payload; grantId: string | null; uid: string | null; expiresAt: number | null },
  ): Promise<void> {
    const values = {
      payload: JSON.stringify(record.payload),
      grant_id: record.grantId === null ? null : stored(record.grantId),
      uid: record.uid,
      expires_at: record.expiresAt,
    };
    await this.#db
      .insertInto("oauth")
      .values({ kind, id: stored(text), ...values })
      .onConflict((conflict) => conflict.columns(["kind", "id"]).doUpdateSet(values))
      .execute();
    if (kind === "Interaction") await this.#makeRoom();
  }

  /** Uses a record up; false when that was done before, or when it is gone. */
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

  /** Ends a grant: its codes and tokens are worth nothing from here on. */
  async endGrant(text: string): Promise<void> {
    await this.#endGrant(stored(text));
  }

  /** Oldest first. @param at RFC 3339 */
  async grants(at: string): Promise<OAuthGrant[]> {
    const now = Date.parse(at) / 1000;
    const rows = await this.#db
      .selectFrom("oauth as grant")
      .innerJoin("oauth as member", "member.grant_id", "grant.id")
      .select(["grant.id", "grant.payload", "member.kind", "member.payload as member"])
      .where("grant.kind", "=", "Grant")
      .where("grant.expires_at", ">", now)
      .where("member.expires_at", ">", now)
      .where("member.consumed_at", "is", null)
      .execute();
    const grants = new Map<string, OAuthGrant>();
    for (const row of rows) {
      const grant = grants.get(row.id) ?? toGrant(row.id, JSON.parse(row.payload));
      if (row.kind === "AccessToken") grant.refreshed_at = latest(grant.refreshed_at, JSON.parse(row.member));
      grants.set(row.id, grant);
    }
    return [...grants.values()].sort((one, other) => one.granted_at.localeCompare(other.granted_at));
  }

  /**
   * @param at RFC 3339
   * @throws MailError grant_not_found
   */
  async revoke(id: string, at: string): Promise<OAuthGrant> {
    const grant = (await this.grants(at)).find((candidate) => candidate.id === id);
    if (grant === undefined) {
      throw new MailError(
        "grant_not_found",
        `There is no grant ${id}, or it has ended.`,
        "See them with: m25-mail oauth grants list",
      );
    }
    await this.#endGrant(grant.key);
    return grant;
  }

  /** Clients that were registered here, by name. */
  async clients(): Promise<OAuthClient[]> {
    const rows = await this.#db.selectFrom("oauth").select("payload").where("kind", "=", "Client").execute();
    return rows
      .map((row): OAuthClient => JSON.parse(row.payload))
      .sort((one, other) => one.client_id.localeCompare(other.client_id));
  }

  /** @throws MailError client_exists */
  async addClient(name: string, redirectUris: readonly string[]): Promise<void> {
    if ((await this.find("Client", name)) !== undefined) {
      throw new MailError(
        "client_exists",
        `A client named ${name} is registered already.`,
        "Choose another name, or remove that one first: m25-mail oauth client remove NAME",
      );
    }
    const payload = { client_id: name, redirect_uris: redirectUris };
    await this.save("Client", name, { payload, grantId: null, uid: null, expiresAt: null });
  }

  /**
   * Ends its grants too.
   *
   * @throws MailError client_not_found
   */
  async removeClient(name: string): Promise<void> {
    if ((await this.find("Client", name)) === undefined) {
      throw new MailError(
        "client_not_found",
        `No client named ${name} is registered here.`,
        "See them with: m25-mail oauth client list",
      );
    }
    await this.remove("Client", name);
    const grants = await this.#db
      .selectFrom("oauth")
      .select("id")
      .where("kind", "=", "Grant")
      .where(sql`payload ->> 'clientId'`, "=", name)
      .execute();
    for (const { id } of grants) await this.#endGrant(id);
  }

  /** @param now seconds since 1970 */
  async forgetExpired(now: number): Promise<void> {
    await this.#db.deleteFrom("oauth").where("expires_at", "<=", now).execute();
  }

  /** The key that signs cookies: made once, so that a request under way survives a restart. */
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
    return { payload: JSON.parse(payload), grant: grant_id && shortId(grant_id), consumedAt: consumed_at };
  }

  async #remove(kind: string, id: string): Promise<void> {
    await this.#db.deleteFrom("oauth").where("kind", "=", kind).where("id", "=", id).execute();
  }

  async #endGrant(id: string): Promise<void> {
    await this.#db.deleteFrom("oauth").where("grant_id", "=", id).execute();
    await this.#remove("Grant", id);
  }

  async #makeRoom(): Promise<void> {
    const surplus = this.#db
      .selectFrom("oauth")
      .select("id")
      .where("kind", "=", "Interaction")
      .orderBy("expires_at", "desc")
      .limit(-1)
      .offset(MAX_INTERACTIONS);
    await this.#db.deleteFrom("oauth").where("kind", "=", "Interaction").where("id", "in", surplus).execute();
  }
}

/** The secrets among the texts have 256 random bits: a slow hash would add nothing. */
function stored(text: string): string {
  return hash("sha256", text);
}

function shortId(id: string): string {
  return id.slice(0, 8);
}

/** @param payload of oidc-provider's Grant, whose `rar` says what the operator chose beyond scopes */
function toGrant(key: string, payload: Payload): OAuthGrant {
  const { rar, resources, clientId, iat } = payload as {
    rar: [{ client_name: string; domains: string[] | null }];
    resources: Record<string, string>;
    clientId: string;
    iat: number;
  };
  const [{ client_name, domains }] = rar;
  return {
    key,
    id: shortId(key),
    client: client_name,
    client_id: clientId,
    scopes: Object.values(resources).flatMap((names) => names.split(" ")),
    domains,
    granted_at: new Date(iat * 1000).toISOString(),
    refreshed_at: null,
  };
}

function latest(known: string | null, { iat }: { iat: number }): string {
  const issued = new Date(iat * 1000).toISOString();
  return known === null || issued > known ? issued : known;
}
