import { randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { EndedCall } from "../../../tools/call/call.ts";
import { RateLimit } from "../../../tools/call/rate-limit.ts";
import { callFields } from "../../log/call-log.ts";
import type { Log, LogLevel } from "../../log/log.ts";
import type { Metrics } from "../../log/metrics.ts";
import { paths } from "../../sync/wire.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Time of arrival, on the clock of performance.now(). */
    began: number;
    /** Why it was refused, if neither its status nor a call's outcome says so. Never repeats the caller's words. */
    refused?: string | undefined;
    /** True for what a thousand nodes may ask at once: counted, but logged at debug only. */
    isRoutine: boolean;
  }
}

/** Paths that monitoring polls: counted, but logged at debug only. */
const ROUTINE: ReadonlySet<string> = new Set(["/healthz", "/metrics"]);

/** Log lines a minute for requests without a credential: strangers must not fill the disk or hide others' requests. */
const STRANGERS_A_MINUTE = 60;

/** Makes request ids that are unique across runs of the server, and short enough to read out on the telephone. */
export function requestIds(): () => string {
  const run = randomBytes(4).toString("hex");
  let count = 0;
  return () => {
    count += 1;
    return `${run}-${count.toString(36)}`;
  };
}

/**
 * Counts each request when it has ended, and logs it in one line, with its call. A poll answered with 304 is only
 * counted, which costs next to nothing.
 */
export class RequestLog {
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #strangers = new RateLimit(STRANGERS_A_MINUTE);
  readonly #warnings = new RateLimit(1);
  /** Requests under way by id, each with its last ended call. */
  readonly #underWay = new Map<string, EndedCall | undefined>();

  constructor(metrics: Metrics, log: Log) {
    this.#metrics = metrics;
    this.#log = log;
  }

  /** A request's line has room for one call. Earlier calls of a batch, and calls that outlive it, get their own line. */
  callEnded(call: EndedCall): void {
    if (call.request === undefined) return;
    const isUnderWay = this.#underWay.has(call.request);
    const displaced = isUnderWay ? this.#underWay.get(call.request) : call;
    if (isUnderWay) this.#underWay.set(call.request, call);
    if (displaced !== undefined) this.#log.info("call", callFields(displaced));
  }

  /** Whether a call has ended in this request; its outcome is then in the request's line. */
  hasCall = (request: string): boolean => this.#underWay.get(request) !== undefined;

  watch(app: FastifyInstance): void {
    app.decorateRequest("began", 0);
    app.decorateRequest("isRoutine", false);
    app.addHook("onRequest", (request, reply, done) => {
      request.began = performance.now();
      if (!request.url.startsWith(paths.maps)) this.#watchOne(request, reply);
      done();
    });
    app.addHook("onSend", (request, reply, _payload, done) => {
      if (request.url.startsWith(paths.maps)) {
        if (reply.statusCode === 304) this.#metrics.unchangedPolls += 1;
        else this.#watchOne(request, reply);
      }
      done();
    });
  }

  /** For a request that reaches no hook. */
  unhooked(request: FastifyRequest, reply: FastifyReply): void {
    request.began = performance.now();
    this.#watchOne(request, reply);
  }

  #watchOne(request: FastifyRequest, reply: FastifyReply): void {
    this.#underWay.set(request.id, undefined);
    const end = () => {
      const call = this.#underWay.get(request.id);
      this.#underWay.delete(request.id);
      const route = request.routeOptions.url ?? "none";
      const status = reply.raw.writableFinished ? reply.raw.statusCode : "aborted";
      const principal = request.principal?.name ?? (request.node && `node ${request.node.name}`);
      this.#metrics.request(route, status);
      this.#log[request.isRoutine ? "debug" : this.#levelOf(route, principal)]("request", {
        ...(call && callFields(call)),
        request: request.id,
        method: request.method,
        route,
        status,
        refused: request.refused,
        ms: Math.round(performance.now() - request.began),
        principal,
        address: request.clientAddress,
      });
    };
    if (reply.raw.closed) end();
    else reply.raw.once("close", end);
  }

  #levelOf(route: string, principal: string | undefined): LogLevel {
    if (ROUTINE.has(route)) return "debug";
    if (principal !== undefined || this.#strangers.take("") === 0) return "info";
    if (this.#warnings.take("") === 0) {
      this.#log.warn(
        `more than ${STRANGERS_A_MINUTE} requests a minute without a credential: the others are logged at debug only, and counted in /metrics`,
      );
    }
    return "debug";
  }
}
