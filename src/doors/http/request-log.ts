import { randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
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
  const watch = (request: FastifyRequest, reply: FastifyReply) => {
    const end = () => ended(request, reply, metrics, log);
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

function ended(request: FastifyRequest, { raw }: FastifyReply, metrics: Metrics, log: Log): void {
  const route = request.routeOptions.url ?? "none";
  const status = raw.writableFinished ? raw.statusCode : "aborted";
  metrics.request(route, status);
  const level = ROUTINE.has(route) ? "debug" : "info";
  log[level]("request", {
    request: request.id,
    method: request.method,
    route,
    status,
    ms: Math.round(performance.now() - request.began),
    principal: request.principal?.name ?? (request.node && `node ${request.node.name}`),
    address: request.clientAddress,
  });
}
