import type { Store } from "../../db/store.ts";
import { credentialId, credentialMatches } from "../../tools/credential.ts";
import { type Principal, type Scope, scopes } from "../../tools/principal.ts";
import type { LastSeen } from "./last-seen.ts";

/** The credential of an Authorization header (RFC 6750 2.1), or "" where there is none. */
export function bearerCredential(authorization: string | undefined): string {
  return /^bearer +([\x21-\x7e]+)$/i.exec(authorization ?? "")?.[1] ?? "";
}

/** Who presents this access token; undefined for unknown, revoked and expired ones and other kinds of credential. */
export function authenticateToken(
  store: Store,
  lastSeen: LastSeen,
  credential: string,
  door: Principal["door"],
  now: Date,
): Principal | undefined {
  const id = credentialId("token", credential);
  if (id === undefined) return undefined;
  const token = store.token(id);
  if (!credentialMatches(credential, token?.tokenHash) || token === undefined) return undefined;
  if (token.expiresAt !== null && Date.parse(token.expiresAt) <= now.getTime()) return undefined;
  lastSeen.token(token.id, now);
  return {
    name: token.name,
    door,
    scopes: new Set(token.scopes.filter(isScope)),
    domains: token.domains === null ? undefined : new Set(token.domains),
  };
}

function isScope(name: string): name is Scope {
  return (scopes as readonly string[]).includes(name);
}
