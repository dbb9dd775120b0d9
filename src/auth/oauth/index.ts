import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Provider } from "oidc-provider";
import type { Store } from "../../../db/store.ts";
import { type Principal, scopes } from "../../../tools/call/principal.ts";
import { RateLimit } from "../../../tools/call/rate-limit.ts";
import { pageHeaders, sendPage } from "../../doors/html/layout.ts";
import { type Log, logFailure } from "../../log/log.ts";
import { subscriberOf } from "../../mail/network.ts";
import type { OperatorLogin } from "../operator-login.ts";
import { authenticateAccessToken } from "./authenticate.ts";
import { ClientDocuments, type Fetch } from "./client-documents.ts";
import { mountInteraction } from "./interaction.ts";
import { knownClients } from "./known-clients.ts";
import { errorPage } from "./page.ts";
import { createProvider, DEFAULT_SCOPES, routes } from "./provider.ts";

export interface OAuthSettings {
  /** The server's origin, as clients know it. */
  issuer: string;
  /** Addresses of accepted Client ID Metadata Documents, besides the known clients' own. */
  clients: readonly string[];
  /** The operator's sign-in, which counts failures at this page and at the operator's page together. */
  login: OperatorLogin;
  fetch: Fetch;
}

/** OAuth 2.1 for /mcp, as the HTTP server sees it. */
export interface OAuth {
  mount(app: FastifyInstance): Promise<void>;
  authenticate(credential: string): Promise<Principal | undefined>;
  /** The WWW-Authenticate header of a 401 at /mcp (RFC 9728 5.1): the metadata's address, and the scopes to ask for. */
  challenge(hadCredential: boolean): string;
  /** The metadata's address, for challenges of other kinds. */
  metadataUrl: string;
  close(): void;
}

const METADATA = "/.well-known/oauth-protected-resource";
const FORGET_EVERY = 3_600_000;
const AUTHORIZATIONS_PER_MINUTE = 30;

export async function openOAuth(
  store: Store,
  now: () => Date,
  log: Log,
  { issuer, clients, login, fetch }: OAuthSettings,
): Promise<OAuth> {
  const resource = `${issuer}/mcp`;
  const metadataUrl = `${issuer}${METADATA}/mcp`;
  const seconds = () => Math.floor(now().getTime() / 1000);
  const cookieKey = await store.write((tables) => tables.oauth.cookieKey());
  const documents = new ClientDocuments([...knownClients, ...clients], fetch, log);
  const provider = createProvider(issuer, resource, { store, documents, cookieKey, seconds, log });
  provider.proxy = true;
  const forget = () =>
    store
      .writeInBatches((tables) => tables.oauth.forgetExpired(seconds()))
      .catch((error: unknown) => logFailure(log, "OAuth: expired records could not be removed", error));
  const timer = setInterval(forget, FORGET_EVERY).unref();
  await forget();
  return {
    metadataUrl,
    async mount(app) {
      mountMetadata(app, resource, issuer);
      await app.register(async (scope) => mountProvider(scope, provider, issuer));
      await app.register((scope) =>
        mountInteraction(scope, { provider, resource, store, login, cookieKey, now, log }),
      );
    },
    authenticate: (credential) => authenticateAccessToken(store, credential, resource, now()),
    challenge: (hadCredential) =>
      [
        `Bearer realm="m25-mail"`,
        ...(hadCredential ? [`error="invalid_token"`] : []),
        `resource_metadata="${metadataUrl}"`,
        `scope="${DEFAULT_SCOPES.join(" ")}"`,
      ].join(", "),
    close: () => clearInterval(timer),
  };
}

function mountMetadata(app: FastifyInstance, resource: string, issuer: string): void {
  const metadata = {
    resource,
    authorization_servers: [issuer],
    scopes_supported: scopes,
    bearer_methods_supported: ["header"],
    resource_name: "M25 Mail",
  };
  // RFC 9728 3.1 appends the resource's path; some clients leave it out, and /mcp/ is /mcp.
  for (const path of [METADATA, `${METADATA}/mcp`, `${METADATA}/mcp/`]) {
    app.get(path, async (_request, reply) => reply.header("cache-control", "no-store").send(metadata));
  }
}

/** Mounts the routes that oidc-provider answers. It reads the bodies itself. */
function mountProvider(scope: FastifyInstance, provider: Provider, issuer: string): void {
  const serve = provider.callback();
  const { protocol, host } = new URL(issuer);
  async function pass(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.hijack();
    // oidc-provider derives its own address from the request's, which a proxy may have changed: give it the public
    // one. Give it the client's address and the request's id as the server has found them.
    Object.assign(request.raw.headers, {
      "x-forwarded-proto": protocol.slice(0, -1),
      "x-forwarded-host": host,
      "x-forwarded-for": request.clientAddress,
      "x-request-id": request.id,
    });
    for (const [name, value] of Object.entries(pageHeaders)) reply.raw.setHeader(name, value);
    // No credential is required here: strangers may keep no connection, and send no endless body.
    reply.raw.setHeader("connection", "close");
    await serve(request.raw, reply.raw);
  }
  const limited = { onRequest: authorizationLimit() };
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", (_request, _body, done) => done(null));
  scope.get("/.well-known/oauth-authorization-server", pass);
  scope.get("/.well-known/openid-configuration", pass);
  scope.get(routes.authorization, limited, pass);
  scope.get(`${routes.authorization}/:uid`, limited, pass);
  scope.post(routes.token, pass);
  scope.post(routes.revocation, pass);
  scope.get(routes.jwks, pass);
}

/** Limits authorization requests: anybody can begin one, and each is kept for minutes. */
function authorizationLimit() {
  const authorizations = new RateLimit(AUTHORIZATIONS_PER_MINUTE);
  return async (request: FastifyRequest, reply: FastifyReply) => {
    const wait = authorizations.take(subscriberOf(request.clientAddress));
    if (wait === 0) return undefined;
    const page = errorPage("Too many requests from your address. Try again in a minute.");
    return sendPage(reply.headers({ ...pageHeaders, "retry-after": wait }), page, 429);
  };
}
