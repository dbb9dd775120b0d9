import type { FastifyInstance } from "fastify";
import { toolsFor } from "../../tools/authorise.ts";
import { call, type Runtime } from "../../tools/call.ts";
import { readingTools } from "../../tools/index.ts";
import { mcpName, type Tool } from "../../tools/tool.ts";
import { MailError } from "../mail/error.ts";
import { clientOfUserAgent } from "./client-name.ts";
import { sendProblem } from "./http/problem.ts";
import { plainInput } from "./input.ts";
import { openapi } from "./openapi.ts";
import { withTools } from "./wording.ts";

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
        const outcome = await call(runtime, request.principal, tool, input, {
          request: request.id,
          address: request.clientAddress,
          client: clientOfUserAgent(request.headers["user-agent"]),
        });
        return outcome.ok ? reply.send(outcome.value) : sendProblem(reply, refusalOverRest(outcome.error));
      },
    });
  }
  scope.get("/api/openapi.json", { exposeHeadRoute: true }, async ({ principal }, reply) =>
    reply
      .type("application/json; charset=utf-8")
      .send(withTools(JSON.stringify(openapi(toolsFor(principal, tools))), requestFor)),
  );
}

/** m25_mail_list_users is GET /api/list-users here. */
function requestFor(endpoint: string, field?: string, value?: string): string {
  const reads = readingTools.some((tool) => tool.endpoint === endpoint);
  return `${reads ? "GET" : "POST"} /api/${endpoint}${field === undefined ? "" : `?${field}=${value}`}`;
}

/** Whoever reads a refusal may know the tools, the endpoints, or both: m25_mail_add_user (POST /api/add-user). */
function refusalOverRest({ code, message, hint, temporary, retryAfter }: MailError): MailError {
  const both = (text: string) =>
    withTools(
      text,
      (endpoint, field, value) => `${mcpName({ endpoint })} (${requestFor(endpoint, field, value)})`,
    );
  return new MailError(code, both(message), both(hint), temporary, retryAfter);
}
