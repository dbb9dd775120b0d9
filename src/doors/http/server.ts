import type { Server } from "node:http";
import fastify, {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
} from "fastify";
import type { Store } from "../../../db/store.ts";
import type { Runtime } from "../../../tools/call/call.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { RateLimit, tooMany } from "../../../tools/call/rate-limit.ts";
import type { Tool } from "../../../tools/call/tool.ts";
import { AccessTokens } from "../../auth/access-tokens.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import type { LastSeen } from "../../auth/last-seen.ts";
import type { OAuth } from "../../auth/oauth/index.ts";
import type { OperatorLogin } from "../../auth/operator-login.ts";
import type { Log } from "../../log/log.ts";
import type { Metrics } from "../../log/metrics.ts";
import { MailError } from "../../mail/error.ts";
import { Networks, subscriberOf } from "../../mail/network.ts";
import type { Publisher } from "../../sync/publisher.ts";
import { type McpServerFactory, mountMcp } from "../mcp/http.ts";
import { stepUp } from "../mcp/step-up.ts";
import { mountMetrics } from "../metrics.ts";
import { mountPage } from "../page/index.ts";
import { mountRest } from "../rest.ts";
import type { ChangeSignal } from "../sync/change-signal.ts";
import { mountSync } from "../sync/index.ts";
import { readJsonStrictly } from "./bodies.ts";
import { noteClientAddresses } from "./client-address.ts";
import { closeUnauthenticated, drainLargeBodies, limitConnections } from "./connections.ts";
import { hostGuard } from "./host-guard.ts";
import { AllowedHosts } from "./hosts.ts";
import { noSuchPath, notFoundAnswer } from "./not-found.ts";
import { limitPipelines } from "./pipeline.ts";
import { noToken, problemOf, sendProblem } from "./problem.ts";
import { type RequestLog, requestIds } from "./request-log.ts";
import {
  BODY_LIMIT,
  HEADER_LIMIT,
  HEADERS_TIMEOUT,
  IDLE_TIMEOUT,
  KEEP_ALIVE_TIMEOUT,
  MOST_CONNECTIONS,
  MOST_CONNECTIONS_OF_ONE,
  REQUEST_TIMEOUT,
  TIMEOUT_CHECK_INTERVAL,
} from "./server-limits.ts";
import { readTls } from "./tls.ts";
import { delayWrongCredentials } from "./wrong-credentials.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The caller; set on every route that takes an access token. */
    principal: Principal;
  }
}

export interface HttpParts {
  runtime: Runtime;
  store: Store;
  publisher: Publisher;
  changes: ChangeSignal;
  lastSeen: LastSeen;
  mcpServerFor: McpServerFactory;
  /** The operator's sign-in, for every page that asks for the password. */
  login: OperatorLogin;
  /** Set if clients may sign in by OAuth. */
  oauth?: OAuth | undefined;
  /** The tools that REST offers. */
  tools: readonly Tool[];
  metrics: Metrics;
  requestLog: RequestLog;
  log: Log;
}

export interface HttpSettings {
  /** Names, besides loopback's, by which the server may be called. */
  allowedHosts: readonly string[];
  /** Addresses and CIDR ranges of the proxies whose X-Forwarded-For is trusted. */
  trustedProxies: readonly string[];
  /** The server's address from outside. */
  publicUrl: string | undefined;
  isReadOnly: boolean;
  /** Limit for each principal, and for each address at routes that need no credential. */
  requestsPerMinute: number;
  tls?: { certFile: string; keyFile: string } | undefined;
  /** Time after which a connection without traffic is cut, in ms. */
  idleTimeout?: number | undefined;
}

/** One server with all doors over HTTP. It does not listen yet. */
export async function httpServer(parts: HttpParts, settings: HttpSettings): Promise<FastifyInstance> {
  const { runtime, store, publisher, changes, lastSeen, metrics, oauth, log } = parts;
  const now = () => runtime.now();
  const refused = hostGuard(new AllowedHosts(settings.allowedHosts), log);
  const limits = {
    maxHeaderSize: HEADER_LIMIT,
    headersTimeout: HEADERS_TIMEOUT,
    connectionsCheckingInterval: TIMEOUT_CHECK_INTERVAL,
  };
  const app = fastify({
    ...(settings.tls
      ? { https: { ...limits, handshakeTimeout: HEADERS_TIMEOUT, ...readTls(settings.tls) } }
      : { http: limits }),
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT,
    connectionTimeout: settings.idleTimeout ?? IDLE_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
    forceCloseConnections: "idle",
    exposeHeadRoutes: false,
    logger: false,
    genReqId: requestIds(),
    // A path that cannot be decoded reaches no hook and no route.
    frameworkErrors: (_error, request, reply) => {
      noteAddress(request as FastifyRequest);
      parts.requestLog.unhooked(request as FastifyRequest, reply as FastifyReply);
      const refusal = refused(request as FastifyRequest) ?? noToken();
      sendProblem(reply.header("connection", "close") as FastifyReply, refusal);
    },
  }) as unknown as FastifyInstance<Server>;
  const trusted = new Networks(settings.trustedProxies);
  limitConnections(app.server, { most: MOST_CONNECTIONS, mostOfOne: MOST_CONNECTIONS_OF_ONE }, trusted);
  limitPipelines(app);
  const noteAddress = noteClientAddresses(app, trusted, log);
  parts.requestLog.watch(app);
  drainLargeBodies(app);
  closeUnauthenticated(app);
  delayWrongCredentials(app);
  app.addHook("onRequest", (request, reply, done) => {
    const refusal = refused(request);
    return refusal === undefined ? done() : sendProblem(reply, refusal);
  });
  app.decorateRequest("principal");
  readJsonStrictly(app);

  const accessTokens = new AccessTokens(store, lastSeen);
  const requests = new RateLimit(settings.requestsPerMinute);
  /** For the routes that need no credential. The other routes refuse a request without one cheaply. */
  const limitAddress = async (request: FastifyRequest, reply: FastifyReply) => {
    const wait = requests.take(`address ${subscriberOf(request.clientAddress)}`);
    return wait > 0 ? sendProblem(reply, tooMany("requests", wait)) : undefined;
  };
  const authenticate = (door: Principal["door"]) => async (request: FastifyRequest, reply: FastifyReply) => {
    const credential = bearerCredential(request.headers.authorization);
    const principal =
      (await accessTokens.authenticate(credential, door, now())) ??
      (door === "mcp" ? await oauth?.authenticate(credential) : undefined);
    if (principal === undefined) {
      if (door === "mcp" && oauth !== undefined) {
        reply.header("www-authenticate", oauth.challenge(credential !== ""));
      }
      return sendProblem(reply, noToken());
    }
    request.principal = principal;
    const wait = requests.take(`principal ${principal.name}`);
    if (wait > 0) return sendProblem(reply, tooMany("requests", wait));
    // Results show addresses, and a new node's key.
    reply.raw.setHeader("cache-control", "no-store");
    return undefined;
  };

  app.setErrorHandler((error: FastifyError, request, reply) => {
    const [problem, status] = problemOf(error, runtime, request.id);
    if (!(error instanceof MailError) && problem.code !== "internal") request.refused = problem.message;
    return sendProblem(reply, problem, status);
  });
  const answerNotFound = notFoundAnswer(app);
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("rest"));
    answerNotFound(scope);
  });
  // Clients look for OAuth metadata and register at these paths. After a 401 they would begin again.
  for (const prefix of ["/.well-known", "/register"]) {
    await app.register(async (scope) => answerNotFound(scope), { prefix });
  }
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    scope.get("/healthz", { exposeHeadRoute: true }, async (_request, reply) => {
      store.polls.now();
      return reply.send({ status: "ok" });
    });
    await scope.register(async (beside) => answerNotFound(beside), { prefix: "/healthz" });
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("mcp"));
    const answerForScope = oauth && stepUp(runtime, parts.tools, oauth.metadataUrl);
    await mountMcp(scope, parts.mcpServerFor, parts.requestLog.hasCall, log, answerForScope);
    await scope.register(async (beside) => answerNotFound(beside), { prefix: "/mcp" });
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", authenticate("rest"));
    await mountRest(scope, runtime, parts.tools);
    mountMetrics(scope, runtime, metrics, () => changes.waiting);
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    await oauth?.mount(scope);
  });
  await app.register(async (scope) => {
    scope.addHook("onRequest", limitAddress);
    const { login } = parts;
    const { publicUrl, isReadOnly } = settings;
    const page = {
      runtime,
      store,
      login,
      metrics,
      log,
      publicUrl,
      isReadOnly,
      hasTls: settings.tls !== undefined,
    };
    const known = authenticate("rest");
    await mountPage(
      scope,
      page,
      async (request, reply) => (await known(request, reply)) ?? sendProblem(reply, noSuchPath(), 404),
    );
  });
  await app.register((scope) =>
    mountSync(scope, { store, publisher, changes, lastSeen, now }, log, answerNotFound),
  );
  return app;
}
