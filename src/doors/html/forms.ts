import { createHmac, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { formOf } from "../http/bodies.ts";

/** Longer is no password: bcrypt reads 72 bytes. */
const MAX_PASSWORD = 1_000;

/** Has the scope read forms, up to their limit, and no other bodies. */
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

export function passwordIn(form: URLSearchParams): string {
  return (form.get("password") ?? "").slice(0, MAX_PASSWORD);
}

/** What a page puts into its forms, and no other site can know. @param bearer what the form's sender has to have */
export function csrfToken(key: string | Uint8Array, bearer: string): string {
  return createHmac("sha256", key).update(`csrf ${bearer}`).digest("base64url");
}

export function isFromPage(form: URLSearchParams, token: string): boolean {
  const [left, right] = [Buffer.from(form.get("csrf") ?? ""), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
