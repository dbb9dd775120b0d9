import type { FastifyInstance } from "fastify";
import { call, type Runtime } from "../../tools/call/call.ts";
import { type Figures, readFigures } from "../../tools/operator/read-figures.ts";
import type { Metrics } from "../log/metrics.ts";
import { sendProblem } from "./http/problem.ts";

/** Mounts /metrics on a scope whose `authenticate` has set request.principal. */
export function mountMetrics(
  scope: FastifyInstance,
  runtime: Runtime,
  metrics: Metrics,
  waitingPolls: () => number,
): void {
  scope.get("/metrics", { exposeHeadRoute: true }, async (request, reply) => {
    const outcome = await call(runtime, {
      principal: request.principal,
      tool: readFigures,
      input: {},
      origin: { request: request.id },
    });
    if (!outcome.ok) return sendProblem(reply, outcome.error);
    const text = await metrics.text(outcome.value as Figures, waitingPolls(), await runtime.store.figures());
    return reply.type(metrics.contentType).send(text);
  });
}
