import { type Kysely, sql } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { operator, text } from "../../src/mail/text.ts";
import type { Schema } from "../schema.ts";
import { type OAuthTable, type Payload, shortId } from "./oauth.ts";

/** A client that the operator registered. */
export interface OAuthClient {
  client_id: string;
  redirect_uris: string[];
}

/** Rights that the operator granted to a client, while a code or token of the grant is valid. */
export interface OAuthGrant {
  /** The stored key. `id` is its beginning. */
  key: string;
  id: string;
  client: string;
  client_id: string;
  scopes: string[];
  domains: string[] | null;
  granted_at: string;
  /** The time of the client's last access token. */
  refreshed_at: string | null;
}

/** The operator's grants to clients, and the clients that the operator registered. */
export class GrantTable {
  readonly #db: Kysely<Schema>;
  readonly #oauth: OAuthTable;

  constructor(db: Kysely<Schema>, oauth: OAuthTable) {
    this.#db = db;
    this.#oauth = oauth;
  }

  /** Oldest first. @param at RFC 3339 */
  async all(at: string): Promise<OAuthGrant[]> {
    const now = Math.floor(Date.parse(at) / 1000);
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
    const grant = (await this.all(at)).find((candidate) => candidate.id === id);
    if (grant === undefined) {
      throw new MailError(
        "grant_not_found",
        `There is no grant ${id}, or it has ended.`,
        text`See them with: ${operator("oauth grants list")}`,
      );
    }
    await this.#oauth.endStoredGrant(grant.key);
    return grant;
  }

  /** The registered clients, by name. */
  async clients(): Promise<OAuthClient[]> {
    const rows = await this.#db.selectFrom("oauth").select("payload").where("kind", "=", "Client").execute();
    return rows
      .map((row): OAuthClient => JSON.parse(row.payload))
      .sort((one, other) => one.client_id.localeCompare(other.client_id));
  }

  /** @throws MailError client_exists */
  async addClient(name: string, redirectUris: readonly string[]): Promise<void> {
    if ((await this.#oauth.find("Client", name)) !== undefined) {
      throw new MailError(
        "client_exists",
        `A client named ${name} is registered already.`,
        text`Choose another name, or remove that one first: ${operator("oauth client remove NAME")}`,
      );
    }
    const payload = { client_id: name, redirect_uris: redirectUris };
    await this.#oauth.save("Client", name, { payload, grantId: null, uid: null, expiresAt: null });
  }

  /**
   * Removes a registered client and ends its grants.
   *
   * @throws MailError client_not_found
   */
  async removeClient(name: string): Promise<void> {
    if ((await this.#oauth.find("Client", name)) === undefined) {
      throw new MailError(
        "client_not_found",
        `No client named ${name} is registered here.`,
        text`See them with: ${operator("oauth client list")}`,
      );
    }
    await this.#oauth.remove("Client", name);
    const grants = await this.#db
      .selectFrom("oauth")
      .select("id")
      .where("kind", "=", "Grant")
      .where(sql`payload ->> 'clientId'`, "=", name)
      .execute();
    for (const { id } of grants) await this.#oauth.endStoredGrant(id);
  }
}

/** @param payload oidc-provider's Grant; its `rar` has the operator's choices beyond scopes */
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
