import type { FastifyInstance } from "fastify";
import { toolsFor } from "../../tools/authorise.ts";
import { call, type Runtime } from "../../tools/call.ts";
import type { Tool } from "../../tools/tool.ts";
import { clientOfUserAgent } from "./client-name.ts";
import { sendProblem } from "./http/problem.ts";
import { openapi } from "./openapi.ts";
import { inputFromText } from "./schema.ts";

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
        const input = reads ? inputFromText(tool, request.query as Record<string, unknown>) : request.body;
        const outcome = await call(runtime, request.principal, tool, input, {
          request: request.id,
          client: clientOfUserAgent(request.headers["user-agent"]),
        });
        return outcome.ok ? reply.send(outcome.value) : sendProblem(reply, outcome.error);
      },
    });
  }
  scope.get("/api/openapi.json", { exposeHeadRoute: true }, async ({ principal }) =>
    openapi(toolsFor(principal, tools)),
  );
}
