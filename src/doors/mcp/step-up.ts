import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { missingScope } from "../../../tools/authorise.ts";
import { call, type Origin, type Runtime } from "../../../tools/call.ts";
import { scopes } from "../../../tools/principal.ts";
import { mcpName, type ParsedCall, type Tool } from "../../../tools/tool.ts";
import { plainArguments } from "../input.ts";

const Call = z.object({
  method: z.literal("tools/call"),
  params: z.object({ name: z.string(), arguments: z.unknown() }),
});

/** Answers a request that would be refused for its scope in a way that lets the client ask for more; else false. */
export type StepUp = (request: FastifyRequest, reply: FastifyReply, origin: Origin) => Promise<boolean>;

/**
 * 403 insufficient_scope, as MCP's authorization has it: a client that came by OAuth can ask the operator for the
 * scope that it lacks. Judging stays with call(), which refuses, and records, what is refused here.
 *
 * @param tools those that are offered
 * @param metadataUrl where the client learns how (RFC 9728)
 */
export function stepUp(runtime: Runtime, tools: readonly Tool[], metadataUrl: string): StepUp {
  return async ({ principal, body }, reply, origin) => {
    const message = Call.safeParse(body).data;
    const tool = tools.find((candidate) => mcpName(candidate) === message?.params.name);
    if (!principal.mayAskForMore || message === undefined || tool === undefined) return false;
    const input = plainArguments(tool, message.params.arguments);
    const parsed = validCall(tool, input);
    const missing = parsed && missingScope(principal, tool, parsed);
    if (missing === undefined) return false;
    const outcome = await call(runtime, { principal, tool, input, origin });
    if (outcome.ok) throw new Error("a call went through without its scope");
    if (outcome.error.code !== "forbidden") return false;
    const wanted = scopes.filter((scope) => scope === missing || principal.scopes.has(scope));
    const description = `This needs the scope ${missing}, which the operator has not allowed.`;
    reply
      .code(403)
      .header(
        "www-authenticate",
        `Bearer error="insufficient_scope", error_description="${description}", scope="${wanted.join(" ")}", resource_metadata="${metadataUrl}"`,
      )
      .send({ error: "insufficient_scope", error_description: description });
    return true;
  };
}

/** Undefined for wrong input, of which call() says what is wrong. */
function validCall(tool: Tool, input: unknown): ParsedCall | undefined {
  try {
    return tool.parse(input);
  } catch {
    return undefined;
  }
}
