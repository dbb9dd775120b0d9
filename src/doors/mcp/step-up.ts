import type { FastifyReply, FastifyRequest } from "fastify";
import * as z from "zod";
import { missingScope } from "../../../tools/call/authorise.ts";
import { call, type Origin, type Runtime } from "../../../tools/call/call.ts";
import { scopes } from "../../../tools/call/principal.ts";
import { mcpName, type ParsedCall, type Tool } from "../../../tools/call/tool.ts";
import { plainArguments } from "../input.ts";

const Call = z.object({
  method: z.literal("tools/call"),
  params: z.object({ name: z.string(), arguments: z.unknown() }),
});

/** Answers a request that lacks a scope so that the client can ask for it; false for any other request. */
export type StepUp = (request: FastifyRequest, reply: FastifyReply, origin: Origin) => Promise<boolean>;

/**
 * Answers 403 insufficient_scope, as MCP's authorization requires: an OAuth client can then ask the operator for the
 * scope that it lacks. call() still makes the decision, and records the refusal.
 *
 * @param tools the tools on offer
 * @param metadataUrl tells the client how to ask (RFC 9728)
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

/** Undefined for wrong input, which call() refuses. */
function validCall(tool: Tool, input: unknown): ParsedCall | undefined {
  try {
    return tool.parse(input);
  } catch {
    return undefined;
  }
}
