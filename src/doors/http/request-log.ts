import { randomBytes } from "node:crypto";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { EndedCall } from "../../../tools/call.ts";
import { RateLimit } from "../../../tools/rate-limit.ts";
import { callFields } from "../../log/call-log.ts";
import type { Log, LogLevel } from "../../log/log.ts";
import type { Metrics } from "../../log/metrics.ts";
import { paths } from "../../sync/wire.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** When it came, on the clock of performance.now(). */
    began: number;
    /** Why it was refused, where neither its status nor a call's outcome says so: words of ours, none of the caller's. */
    refused?: string | undefined;
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

/**
 * Counts every request when it has ended, and logs it in one line, with the call that came in it. A poll answered
 * 304 is counted only, which costs next to nothing.
 */
export class RequestLog {
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #strangers = new RateLimit(STRANGERS_A_MINUTE);
  readonly #warnings = new RateLimit(1);
  /** Requests under way, by their ids, with the call that has ended in them last. */
  readonly #underWay = new Map<string, EndedCall | undefined>();

  constructor(metrics: Metrics, log: Log) {
    this.#metrics = metrics;
    this.#log = log;
  }

  /** A request's line has room for one call: those before it in a batch, and those that outlive it, have their own. */
  callEnded(call: EndedCall): void {
    if (call.request === undefined) return;
    const isUnderWay = this.#underWay.has(call.request);
    const displaced = isUnderWay ? this.#underWay.get(call.request) : call;
    if (isUnderWay) this.#underWay.set(call.request, call);
    if (displaced !== undefined) this.#log.info("call", callFields(displaced));
  }

  /** Whether a call has ended in this request, which then says how it went. */
  hasCall = (request: string): boolean => this.#underWay.get(request) !== undefined;

  watch(app: FastifyInstance): void {
    app.decorateRequest("began", 0);
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

  /** Of a request that comes to no hook. */
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
      this.#log[this.#levelOf(route, principal)]("request", {
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
