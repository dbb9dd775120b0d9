import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { MailError } from "../../mail/error.ts";
import { sendProblem } from "./problem.ts";

/** Has the scope answer whatever comes to a path under its prefix and no route takes; its credential is asked for first. */
export type AnswerNotFound = (scope: FastifyInstance) => void;

/**
 * 405 with Allow where the path has other methods (RFC 9110 15.5.6), else 404. It is said before a body is read, which
 * nobody would look at. Knows the routes that are mounted after this was called.
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
    scope.addHook("onRequest", answer); // these are the hooks of what comes to the handler, and of nothing else
    scope.setNotFoundHandler(answer);
  };
}

export const noSuchPath = () =>
  new MailError(
    "invalid_input",
    "There is nothing at this path.",
    "See /api/openapi.json for the endpoints; MCP is at /mcp.",
  );

const noSuchMethod = (allowed: readonly string[]) =>
  new MailError(
    "invalid_input",
    "This path is there, but not for this method.",
    `The methods that it takes are: ${allowed.join(", ")}. Nothing was changed.`,
  );
