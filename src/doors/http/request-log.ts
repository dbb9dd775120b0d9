import { randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { RateLimit } from "../../../tools/rate-limit.ts";
import type { Log } from "../../log.ts";
import { type Metrics, POLL_ROUTE } from "../../metrics.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** When it came, on the clock of performance.now(). */
    began: number;
  }
}

/** Asked again and again by whatever watches the server: counted, and logged only for those who look closely. */
const ROUTINE: ReadonlySet<string> = new Set(["/healthz", "/metrics"]);

/** Lines a minute of those who showed no credential: strangers must not fill the disk, nor hide what others did. */
const STRANGERS_A_MINUTE = 60;

/** Ids that no two requests share, of whatever run of the server, and short enough to be read out on the telephone. */
export function requestIds(): () => string {
  const run = randomBytes(4).toString("hex");
  let count = 0;
  return () => {
    count += 1;
    return `${run}-${count.toString(36)}`;
  };
}

/** Counts every request when it has ended, and logs it. A poll answered 304 is counted only, which costs next to nothing. */
export function watchRequests(app: FastifyInstance, metrics: Metrics, log: Log): void {
  const strangers = new RateLimit(STRANGERS_A_MINUTE);
  const warnings = new RateLimit(1);
  const levelOf = (route: string, principal: string | undefined) => {
    if (ROUTINE.has(route)) return "debug";
    if (principal !== undefined || strangers.take("") === 0) return "info";
    if (warnings.take("") === 0) {
      log.warn(
        `more than ${STRANGERS_A_MINUTE} requests a minute without a credential: the others are logged at debug only, and counted in /metrics`,
      );
    }
    return "debug";
  };
  const watch = (request: FastifyRequest, reply: FastifyReply) => {
    const end = () => {
      const route = request.routeOptions.url ?? "none";
      const status = reply.raw.writableFinished ? reply.raw.statusCode : "aborted";
      const principal = request.principal?.name ?? (request.node && `node ${request.node.name}`);
      metrics.request(route, status);
      log[levelOf(route, principal)]("request", {
        request: request.id,
        method: request.method,
        route,
        status,
        ms: Math.round(performance.now() - request.began),
        principal,
        address: request.clientAddress,
      });
    };
    if (reply.raw.closed) end();
    else reply.raw.once("close", end);
  };
  app.decorateRequest("began", 0);
  app.addHook("onRequest", (request, reply, done) => {
    request.began = performance.now();
    if (!request.url.startsWith(POLL_ROUTE)) watch(request, reply);
    done();
  });
  app.addHook("onSend", (request, reply, _payload, done) => {
    if (request.url.startsWith(POLL_ROUTE)) {
      if (reply.statusCode === 304) metrics.unchangedPolls += 1;
      else watch(request, reply);
    }
    done();
  });
}
