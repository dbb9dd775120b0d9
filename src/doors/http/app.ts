import type { Server } from "node:http";
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Log } from "../../log/log.ts";
import { Networks } from "../../mail/network.ts";
import { readJsonStrictly } from "./bodies.ts";
import { noteClientAddresses } from "./client-address.ts";
import { closeUnauthenticated, drainLargeBodies, limitConnections } from "./connections.ts";
import { hostGuard } from "./host-guard.ts";
import { AllowedHosts } from "./hosts.ts";
import { limitPipelines } from "./pipeline.ts";
import { noToken, sendProblem } from "./problem.ts";
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

export interface AppSettings {
  /** Names, besides loopback's, by which the server may be called. */
  allowedHosts: readonly string[];
  /** Addresses and CIDR ranges of the proxies whose X-Forwarded-For is trusted. */
  trustedProxies: readonly string[];
  tls?: { certFile: string; keyFile: string } | undefined;
  /** Time after which a connection without traffic is cut, in ms. */
  idleTimeout?: number | undefined;
}

/** A server without routes, with the limits, checks and log lines of all requests. */
export function createApp(requestLog: RequestLog, log: Log, settings: AppSettings): FastifyInstance {
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
      requestLog.unhooked(request as FastifyRequest, reply as FastifyReply);
      const refusal = refused(request as FastifyRequest) ?? noToken();
      sendProblem(reply.header("connection", "close") as FastifyReply, refusal);
    },
  }) as unknown as FastifyInstance<Server>;
  const trusted = new Networks(settings.trustedProxies);
  limitConnections(app.server, { most: MOST_CONNECTIONS, mostOfOne: MOST_CONNECTIONS_OF_ONE }, trusted);
  limitPipelines(app);
  const noteAddress = noteClientAddresses(app, trusted, log);
  requestLog.watch(app);
  drainLargeBodies(app);
  closeUnauthenticated(app);
  delayWrongCredentials(app);
  app.addHook("onRequest", (request, reply, done) => {
    const refusal = refused(request);
    return refusal === undefined ? done() : sendProblem(reply, refusal);
  });
  app.decorateRequest("principal");
  readJsonStrictly(app);
  return app;
}
