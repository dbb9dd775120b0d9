import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { MailError } from "../../mail/error.ts";
import { sendProblem } from "./problem.ts";

/** Makes a scope answer requests under its prefix that match no route, after the scope's own authentication. */
export type AnswerNotFound = (scope: FastifyInstance) => void;

/**
 * Answers 405 with Allow if the path has other methods (RFC 9110 15.5.6), else 404, before it reads a body. Knows the
 * routes that are mounted after this call.
 */
export function notFoundAnswer(app: FastifyInstance): AnswerNotFound {
  const methodsOf = new Map<string, string[]>();
  app.addHook("onRoute", ({ url, method }) => {
    methodsOf.set(url, [...(methodsOf.get(url) ?? []), ...[method].flat()]);
  });
  const answer = (request: FastifyRequest, reply: FastifyReply) => {
    const allowed = methodsOf.get(request.url.replace(/\?.*/, ""))?.toSorted();
    if (allowed === undefined) return sendProblem(reply, noSuchPath(), 404);
    return sendProblem(reply.header("allow", allowed.join(", ")), noSuchMethod(allowed), 405);
  };
  return (scope) => {
    scope.addHook("onRequest", answer); // runs only for requests that match no route
    scope.setNotFoundHandler(answer);
  };
}

export const noSuchPath = () =>
  new MailError(
    "invalid_input",
    "This server has no such path.",
    "See /api/openapi.json for the endpoints; MCP is at /mcp.",
  );

const noSuchMethod = (allowed: readonly string[]) =>
  new MailError(
    "invalid_input",
    "This path does not take this method.",
    `It takes: ${allowed.join(", ")}. Nothing was changed.`,
  );
