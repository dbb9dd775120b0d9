import type { FastifyInstance } from "fastify";
import { MailError } from "../../mail/error.ts";
import { textOf } from "../utf8.ts";

/** A client's fault: the status tells it from the server's own errors. */
function refusal(message: string, hint: string): Error {
  return Object.assign(new MailError("invalid_input", message, hint), { statusCode: 400 });
}

/** Checks that JSON bodies are UTF-8 before Fastify's own parser reads them, which keeps prototypes safe. */
export function readJsonStrictly(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    const text = textOf(body as Buffer);
    if (text !== undefined) return parse(request, text, done);
    return done(refusal("The request's body is not valid UTF-8.", "Send JSON, encoded in UTF-8."));
  });
}

/** @throws MailError invalid_input, with status 400, for a form whose bytes or escapes are not UTF-8 */
export function formOf(body: Uint8Array): URLSearchParams {
  const text = textOf(body);
  if (text === undefined || !isWellEscaped(text)) {
    throw refusal("The form is not valid UTF-8.", "Send it as the page does.");
  }
  return new URLSearchParams(text);
}

/** URLSearchParams would put U+FFFD for escapes that are not UTF-8. */
function isWellEscaped(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
