import { STATUS_CODES } from "node:http";
import type { FastifyError, FastifyReply } from "fastify";
import type { Runtime } from "../../../tools/call/call.ts";
import { type ErrorCode, MailError } from "../../mail/error.ts";
import { operator, type Text, text } from "../../mail/text.ts";
import { BODY_LIMIT } from "./server-limits.ts";
import { overRest } from "./wording.ts";

/** The HTTP status of each code. */
export const statuses: Record<ErrorCode, number> = {
  invalid_input: 400,
  unauthorized: 401,
  forbidden: 403,
  declined: 403,
  cancelled: 403,
  domain_not_found: 404,
  user_not_found: 404,
  node_not_found: 404,
  token_not_found: 404,
  domain_exists: 409,
  domain_has_active_users: 409,
  user_exists: 409,
  user_inactive: 409,
  user_active: 409,
  no_password: 409,
  login_off: 409,
  link_not_found: 404,
  no_public_url: 409,
  alias_not_found: 404,
  domain_has_aliases: 409,
  node_exists: 409,
  token_exists: 409,
  client_not_found: 404,
  client_exists: 409,
  grant_not_found: 404,
  too_large: 413,
  busy: 429,
  internal: 500,
  unavailable: 503,
};

/** Seconds after which a refused caller may try again, if the refusal does not say. */
const RETRY_AFTER: Partial<Record<ErrorCode, number>> = { busy: 3, unavailable: 30 };

/** Answers with RFC 9457 problem details. `status` overrides the code's own, where HTTP has a more exact one. */
export function sendProblem(
  reply: FastifyReply,
  error: MailError,
  status = statuses[error.code],
): FastifyReply {
  const retryAfter = error.retryAfter ?? RETRY_AFTER[error.code];
  if (retryAfter !== undefined && !reply.hasHeader("retry-after")) reply.header("retry-after", retryAfter);
  if (error.code === "unauthorized" && !reply.hasHeader("www-authenticate")) {
    reply.header("www-authenticate", 'Bearer realm="m25-mail"');
  }
  return reply
    .code(status)
    .type("application/problem+json")
    .send({
      type: "about:blank",
      title: STATUS_CODES[status] ?? "Error",
      status,
      code: error.code,
      detail: overRest(error.detail),
      hint: overRest(error.hint),
    });
}

export const unauthorized = (what: string, how: string | Text) => new MailError("unauthorized", what, how);

export const noToken = () =>
  unauthorized(
    "A valid access token is needed.",
    text`Send Authorization: Bearer TOKEN; the operator makes one with: ${operator("token create NAME")}`,
  );

/** The answer to an error outside of call(). It tells only the kind: a parser's message may quote the body. */
export function problemOf(error: FastifyError, runtime: Runtime, reference: string): [MailError, number?] {
  if (error instanceof MailError) return [error];
  const status = error.statusCode ?? 500;
  if (status === 413)
    return [new MailError("too_large", "The request is too large.", `Send at most ${BODY_LIMIT} bytes.`)];
  if (status >= 400 && status < 500) {
    return [
      new MailError(
        "invalid_input",
        "The request could not be read.",
        "Send a JSON object with Content-Type: application/json.",
      ),
      400,
    ];
  }
  runtime.reportFailure("bug", error, reference);
  return [
    new MailError(
      "internal",
      `Something went wrong inside M25 Mail (reference ${reference}).`,
      "Try once more. If it fails again, give the operator this reference: the log has the details.",
    ),
  ];
}
