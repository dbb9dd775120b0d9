import type { FastifyInstance } from "fastify";
import { toolsFor } from "../../tools/call/authorise.ts";
import { call, type Runtime } from "../../tools/call/call.ts";
import type { Tool } from "../../tools/call/tool.ts";
import { clientOfUserAgent } from "./client-name.ts";
import { sendProblem } from "./http/problem.ts";
import { overRest } from "./http/wording.ts";
import { plainInput } from "./input.ts";
import { openapi } from "./openapi.ts";
import { wordedResult } from "./result.ts";

/** Mounts the endpoints of these tools under /api, on a scope whose `authenticate` has set request.principal. */
export async function mountRest(
  scope: FastifyInstance,
  runtime: Runtime,
  tools: readonly Tool[],
): Promise<void> {
  for (const tool of tools) {
    const reads = tool.effect === "read";
    scope.route({
      method: reads ? "GET" : "POST",
      url: `/api/${tool.endpoint}`,
      exposeHeadRoute: reads,
      handler: async (request, reply) => {
        const input = plainInput(tool, reads ? request.query : request.body);
        const origin = {
          request: request.id,
          address: request.clientAddress,
          client: clientOfUserAgent(request.headers["user-agent"]),
        };
        const outcome = await call(runtime, { principal: request.principal, tool, input, origin });
        if (!outcome.ok) return sendProblem(reply, outcome.error);
        return reply.send(wordedResult(outcome.value, overRest));
      },
    });
  }
  scope.get("/api/openapi.json", { exposeHeadRoute: true }, async ({ principal }, reply) =>
    reply.type("application/json; charset=utf-8").send(JSON.stringify(openapi(toolsFor(principal, tools)))),
  );
}
