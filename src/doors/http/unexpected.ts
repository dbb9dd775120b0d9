import type { FastifyError } from "fastify";
import type { Runtime } from "../../../tools/call.ts";
import { MailError } from "../../mail/error.ts";
import { BODY_LIMIT } from "./limits.ts";

/** What went wrong before or outside of call(): only the kind is told, never the parser's words, which quote the body. */
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
  runtime.reportBug(error, reference);
  return [
    new MailError(
      "internal",
      `Something went wrong inside M25 Mail (reference ${reference}).`,
      "Try once more; if it stays, give the operator this reference: it stands in the log.",
    ),
  ];
}
