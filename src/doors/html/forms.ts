import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { formOf } from "../http/bodies.ts";

/** Maximum length to read: bcrypt ignores all after 72 bytes. */
const MAX_PASSWORD = 1_000;

/** Makes the scope read forms and no other bodies. */
export function readForms(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(
    "application/x-www-form-urlencoded",
    { parseAs: "buffer" },
    async (_request: FastifyRequest, body: Buffer) => formOf(body),
  );
}

export function formIn({ body }: FastifyRequest): URLSearchParams {
  return body instanceof URLSearchParams ? body : new URLSearchParams();
}

export function passwordIn(form: URLSearchParams, name = "password"): string {
  return (form.get(name) ?? "").slice(0, MAX_PASSWORD);
}

/** The token in a page's forms, unknown to other sites. @param bearer the secret that ties it to one browser */
export function csrfToken(key: string | Uint8Array, bearer: string): string {
  return createHmac("sha256", key).update(`csrf ${bearer}`).digest("base64url");
}

/** True for a form that a page of this server sent, with the token of its csrfToken(). */
export function isFromPage({ headers }: FastifyRequest, form: URLSearchParams, token: string): boolean {
  const site = headers["sec-fetch-site"] ?? "same-origin"; // old browsers say nothing
  return site === "same-origin" && isEqual(form.get("csrf") ?? "", token);
}

/** The tokens in the forms of a page whose requests are logged. */
export class FormTokens {
  readonly #key: Uint8Array;

  /** @param key of all servers that may get the forms; by default it ends with this process */
  constructor(key: Uint8Array = randomBytes(32)) {
    this.#key = key;
  }

  /** @param bearer as for csrfToken */
  of(bearer: string): string {
    return csrfToken(this.#key, bearer);
  }

  /** True for a form that a page of this server sent to this bearer. If it is not one, the request's log line says so. */
  accept(request: FastifyRequest, form: URLSearchParams, bearer: string | undefined): boolean {
    if (bearer !== undefined && isFromPage(request, form, this.of(bearer))) return true;
    request.refused = "its form did not come from the page";
    return false;
  }
}

function isEqual(given: string, token: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
