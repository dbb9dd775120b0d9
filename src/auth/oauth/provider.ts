import { generateKeyPairSync } from "node:crypto";
import type { EventEmitter } from "node:events";
import {
  type Configuration,
  errors,
  interactionPolicy,
  type KoaContextWithOIDC,
  Provider,
} from "oidc-provider";
import type { Store } from "../../../db/store.ts";
import { type Scope, scopes } from "../../../tools/call/principal.ts";
import type { Log } from "../../log/log.ts";
import { adapterFor } from "./adapter.ts";
import { Access } from "./authenticate.ts";
import type { ClientDocuments } from "./client-documents.ts";
import { errorPage } from "./page.ts";
import { admissionFlag, documentAddress, unknownDocumentPage } from "./unknown-document.ts";

const MINUTE = 60;
const DAY = 86_400;

/** The scopes of a client that names none: enough for daily work, nothing that cannot be undone. */
export const DEFAULT_SCOPES: readonly Scope[] = ["read", "write"];

/** The only account: anybody who knows the operator's password. */
export const OPERATOR = "operator";

export const routes = {
  authorization: "/authorize",
  token: "/token",
  revocation: "/revoke",
  jwks: "/jwks",
  interaction: "/interaction",
} as const;

export interface ProviderParts {
  store: Store;
  documents: ClientDocuments;
  cookieKey: string;
  seconds: () => number;
  log: Log;
}

/**
 * The authorization server: oidc-provider with everything off that MCP clients do not need. Authorization code
 * with PKCE (S256), opaque access tokens of an hour for one resource, rotating refresh tokens of 30 days, a grant
 * of a year. No ID tokens, no registration, and no session that replaces the password.
 *
 * @param issuer the server's origin
 * @param resource the resource that access tokens are for (RFC 8707)
 */
export function createProvider(issuer: string, resource: string, parts: ProviderParts): Provider {
  const { documents, cookieKey, seconds, store, log } = parts;
  const cookies = { httpOnly: true, sameSite: "lax", secure: issuer.startsWith("https:") } as const;
  const configuration: Configuration = {
    adapter: adapterFor(store, seconds, log),
    // The library requires a key for ID tokens. No ID token is ever issued, so this key signs nothing.
    jwks: { keys: [generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" })] },
    cookies: { keys: [cookieKey], long: cookies, short: cookies },
    routes: {
      authorization: routes.authorization,
      token: routes.token,
      revocation: routes.revocation,
      jwks: routes.jwks,
    },
    responseTypes: ["code"],
    clientAuthMethods: ["none", "private_key_jwt"],
    clientDefaults: { token_endpoint_auth_method: "none", id_token_signed_response_alg: "ES256" },
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: false,
    clientBasedCORS: () => false,
    features: featuresFor(resource, documents),
    extraParams: { scope: keepKnownScopes },
    fetch: (url, options) => documents.fetch(String(url), options as RequestInit),
    findAccount: (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    interactions: {
      policy: alwaysAsk(),
      url: (_ctx, interaction) => `${routes.interaction}/${interaction.uid}`,
    },
    loadExistingGrant: async (ctx) => {
      const grantId = ctx.oidc.result?.consent?.grantId;
      return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId);
    },
    expiresWithSession: () => false,
    issueRefreshToken: () => true,
    rotateRefreshToken: () => true,
    extraTokenClaims: (ctx) => Access.parse(ctx.oidc.entities.Grant?.rar?.[0]),
    renderError: (ctx, { error, error_description }) => {
      ctx.type = "html";
      const reason = String(error_description ?? error);
      const unknown = unknownDocument(ctx, reason);
      ctx.body =
        unknown === undefined ? errorPage(plainWords[reason] ?? reason) : unknownDocumentPage(unknown);
    },
    ttl: lifetimes,
  };
  const provider = new Provider(issuer, configuration);
  provider.use(plainMetadata);
  logEvents(provider, log);
  return provider;
}

/** In seconds. */
const lifetimes: Configuration["ttl"] = {
  AccessToken: 60 * MINUTE,
  AuthorizationCode: MINUTE,
  RefreshToken: 30 * DAY,
  Grant: 365 * DAY,
  Interaction: 10 * MINUTE,
  Session: 60 * MINUTE,
};

function featuresFor(resource: string, documents: ClientDocuments): Configuration["features"] {
  return {
    clientIdMetadataDocument: {
      enabled: true,
      ack: "draft-02",
      allowFetch: (_ctx, clientId) => documents.isAllowed(clientId),
      allowClient: (_ctx, client) => documents.isAllowed(client.clientId),
      cacheDuration: { min: 60 * MINUTE, max: DAY },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => resource,
      useGrantedResource: () => true,
      getResourceServerInfo(_ctx, indicator) {
        if (indicator !== resource) throw new errors.InvalidTarget();
        return { scope: scopes.join(" "), audience: resource, accessTokenFormat: "opaque" };
      },
    },
    revocation: {
      enabled: true,
      allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId,
    },
    devInteractions: { enabled: false },
    dPoP: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    userinfo: { enabled: false },
  };
}

const NOT_ALLOWED = "client_id metadata document fetch not allowed";

/** The client document's address, if the request was refused because of it and it can be shown. */
function unknownDocument(ctx: KoaContextWithOIDC, reason: string | undefined): string | undefined {
  return reason === NOT_ALLOWED ? documentAddress(ctx.oidc.params?.client_id) : undefined;
}

/** The errors that the person at the page, the operator, can solve. */
const plainWords: Readonly<Record<string, string>> = {
  "client is invalid":
    "This server does not know that program. To register it: m25-mail oauth client add NAME --redirect-uri URI",
  [NOT_ALLOWED]: "This server does not know that program. To admit it: m25-mail serve --oauth-clients URL",
  "client_id metadata document fetch failed":
    "That program’s description could not be fetched from its maker, or is not valid. The server’s log has its address.",
};

function logEvents(provider: Provider, log: Log): void {
  const refused = (ctx: KoaContextWithOIDC, { error, error_description }: errors.OIDCProviderError) => {
    const unknown = unknownDocument(ctx, error_description);
    if (unknown === undefined) {
      log.warn("OAuth: refused a request", { error, reason: error_description?.slice(0, 200) });
    } else {
      log.warn("OAuth: refused a client whose document is not on the list", {
        client: unknown,
        admit: admissionFlag(unknown),
      });
    }
  };
  provider.on("authorization.error", refused);
  provider.on("grant.error", refused);
  provider.on("revocation.error", refused);
  const failed = (error: unknown) => log.error("OAuth: a request could not be served", error);
  provider.on("server_error", (_ctx, error) => failed(error));
  // Without a listener, Koa writes errors to stderr itself.
  (provider as EventEmitter).on("error", failed);
}

/** Asks the operator for the password at each authorization: no session and no earlier grant replaces it. */
function alwaysAsk() {
  const { Check, Prompt } = interactionPolicy;
  const policy = interactionPolicy.base();
  policy.clear();
  policy.add(new Prompt({ name: "login", requestable: true }));
  policy.add(
    new Prompt(
      { name: "consent", requestable: true },
      new Check("not_approved", "the operator has to approve this", "consent_required", (ctx) => {
        const { login, consent } = ctx.oidc.result ?? {};
        return login === undefined || consent === undefined;
      }),
    ),
  );
  return policy;
}

/** Leaves unknown scopes out instead of refusing them: generic clients also ask for openid, profile and the like. */
function keepKnownScopes(ctx: KoaContextWithOIDC): void {
  const { params } = ctx.oidc;
  if (params === undefined) return;
  const wanted = new Set(String(params.scope ?? "").split(" "));
  const known = scopes.filter((scope) => wanted.has(scope));
  params.scope = (known.length === 0 ? DEFAULT_SCOPES : known).join(" ");
}

/** Limits RFC 8414 metadata to this server's features, which are fewer than the library's. */
async function plainMetadata(ctx: KoaContextWithOIDC, next: () => Promise<void>): Promise<void> {
  await next();
  if (!ctx.path.startsWith("/.well-known/")) return;
  const metadata = ctx.body as Record<string, unknown>;
  const { claims_supported, claims_parameter_supported, claim_types_supported, ...rest } = metadata;
  ctx.body = { ...rest, scopes_supported: scopes, response_modes_supported: ["query"] };
}
