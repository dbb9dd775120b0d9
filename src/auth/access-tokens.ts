import { hash } from "node:crypto";
import type { Store } from "../../db/store.ts";
import { credentialId, credentialMatches } from "../../tools/call/credential.ts";
import { type Principal, type Scope, scopes } from "../../tools/call/principal.ts";
import type { LastSeen } from "./last-seen.ts";

type Token = NonNullable<Awaited<ReturnType<Store["token"]>>>;

/** A token's permissions. */
interface Grant extends Pick<Principal, "name" | "scopes" | "domains"> {
  id: number;
  /** In ms since 1970. */
  expires: number;
}

/** Checks the access tokens that callers present. */
export class AccessTokens {
  readonly #store: Pick<Store, "polls" | "token">;
  readonly #lastSeen: Pick<LastSeen, "token">;
  /**
   * Valid tokens presented since the last commit, by the SHA-256 of their text. Others are not kept, so that unknown
   * and wrong tokens take the same time.
   */
  readonly #right = new Map<string, Grant>();
  #commit = 0;

  constructor(store: Pick<Store, "polls" | "token">, lastSeen: Pick<LastSeen, "token">) {
    this.#store = store;
    this.#lastSeen = lastSeen;
  }

  /**
   * The token's principal; undefined for unknown, revoked and expired tokens and other kinds of credential.
   *
   * @throws MailError unavailable
   */
  async authenticate(credential: string, door: Principal["door"], now: Date): Promise<Principal | undefined> {
    const id = credentialId("token", credential);
    if (id === undefined) return undefined;
    const { commit } = await this.#store.polls.look();
    if (commit !== this.#commit) this.#right.clear();
    this.#commit = commit;
    const key = hash("sha256", credential);
    const grant = this.#right.get(key) ?? (await this.#grantOf(id, credential));
    if (grant === undefined) return undefined;
    // Another request may have looked meanwhile: this grant may have ended since.
    if (commit === this.#commit) this.#right.set(key, grant);
    if (grant.expires <= now.getTime()) return undefined;
    this.#lastSeen.token(grant.id, now);
    return { name: grant.name, door, scopes: grant.scopes, domains: grant.domains };
  }

  async #grantOf(id: string, credential: string): Promise<Grant | undefined> {
    const token = await this.#store.token(id);
    return credentialMatches(credential, token?.tokenHash) && token !== undefined
      ? toGrant(token)
      : undefined;
  }
}

function toGrant(token: Token): Grant {
  return {
    id: token.id,
    name: token.name,
    expires: token.expiresAt === null ? Number.POSITIVE_INFINITY : Date.parse(token.expiresAt),
    scopes: new Set(token.scopes.filter(isScope)),
    domains: token.domains === null ? undefined : new Set(token.domains),
  };
}

function isScope(name: string): name is Scope {
  return (scopes as readonly string[]).includes(name);
}
