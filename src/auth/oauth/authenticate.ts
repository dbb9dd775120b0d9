import * as z from "zod";
import type { Store } from "../../../db/store.ts";
import { isAccessToken } from "../../../tools/call/credential.ts";
import { type Principal, scopes } from "../../../tools/call/principal.ts";

/** A grant's limits beyond its scopes; kept with it as RFC 9396 authorization details, and with each token. */
export const Access = z.object({
  type: z.literal("m25-mail"),
  /** A-labels, sorted; null for all, including later ones. */
  domains: z.array(z.string()).nullable(),
  client_name: z.string(),
});

export type Access = z.output<typeof Access>;

const AccessToken = z.object({
  aud: z.string(),
  exp: z.number(),
  scope: z.string(),
  extra: Access,
});

/**
 * The principal of an OAuth access token; undefined if it is unknown, revoked, expired, for another resource
 * (RFC 8707), or another kind of credential.
 */
export async function authenticateAccessToken(
  store: Store,
  credential: string,
  resource: string,
  now: Date,
): Promise<Principal | undefined> {
  if (!isAccessToken(credential)) return undefined;
  const record = await store.read((tables) => tables.oauth.find("AccessToken", credential));
  const token = AccessToken.safeParse(record?.payload).data;
  if (token === undefined || token.aud !== resource || token.exp * 1000 <= now.getTime()) return undefined;
  const granted = new Set(token.scope.split(" "));
  const { domains, client_name } = token.extra;
  return {
    name: grantName(client_name, String(record?.grant)),
    door: "mcp",
    scopes: new Set(scopes.filter((scope) => granted.has(scope))),
    domains: domains === null ? undefined : new Set(domains),
    mayAskForMore: true,
  };
}

/** The principal's name for a grant, in logs and the audit log. */
export function grantName(clientName: string, grant: string): string {
  return `oauth:${plainName(clientName)}/${grant}`;
}

/** A client's name in a form that is safe for logs and the audit log: the client chose it. */
export function plainName(clientName: string): string {
  return clientName.replace(/[^A-Za-z0-9 ._-]+/g, "-").slice(0, 40);
}
