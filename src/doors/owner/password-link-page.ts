import { randomBytes } from "node:crypto";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import type { Store } from "../../../db/store.ts";
import { call, type Runtime } from "../../../tools/call/call.ts";
import { credentialId } from "../../../tools/call/credential.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { choosePassword } from "../../../tools/sets/people/choose-password.ts";
import { opens } from "../../../tools/sets/people/password-link.ts";
import type { PasswordCheck } from "../../auth/password-check.ts";
import type { Log } from "../../log/log.ts";
import { MailError } from "../../mail/error.ts";
import { csrfToken, formIn, isFromPage, passwordIn } from "../html/forms.ts";
import { pageHeaders } from "../html/layout.ts";
import { statuses } from "../http/problem.ts";
import { transportOf } from "../page/transport.ts";
import { deadPage, donePage, failedPage, type LinkForm, linkPage } from "./pages.ts";
import { languageOf, languages } from "./words.ts";

/** The parts of the server that the page uses. */
export interface OwnerParts {
  runtime: Runtime;
  store: Store;
  log: Log;
  /** Compares the passwords of owners who sign in. */
  passwords: PasswordCheck;
  hasTls: boolean;
  publicUrl: string | undefined;
}

/** The page on which the owner of a mailbox chooses a password. */
export class OwnerPage {
  readonly #parts: OwnerParts;
  readonly #csrfKey = randomBytes(32);

  constructor(parts: OwnerParts) {
    this.#parts = parts;
  }

  begin(reply: FastifyReply): void {
    reply.headers({ ...pageHeaders, vary: "accept-language" });
  }

  /** Shows a link's form. It consumes nothing: mail scanners follow links. */
  async show(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { hasTls, publicUrl } = this.#parts;
    const language = languageOf(request);
    if (transportOf(request, hasTls, publicUrl) === "plain") {
      return send(reply, failedPage(language, languages[language].plain), 403);
    }
    const form = await this.#formOf(request);
    return form === undefined ? send(reply, deadPage(language), 404) : send(reply, linkPage(form));
  }

  /** Sets the password and ends the link. */
  async choose(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { hasTls, publicUrl, runtime } = this.#parts;
    const language = languageOf(request);
    const words = languages[language];
    if (transportOf(request, hasTls, publicUrl) === "plain") {
      return send(reply, failedPage(language, words.plain), 403);
    }
    const form = await this.#formOf(request);
    if (form === undefined) return send(reply, deadPage(language), 404);
    const fields = formIn(request);
    if (!isFromPage(request, fields, form.csrf)) {
      request.refused = "its form did not come from the page";
      return send(reply, failedPage(language, words.foreignForm), 403);
    }
    const password = passwordIn(fields);
    if (password !== fields.get("again")) return send(reply, linkPage(form, words.different), 400);
    const outcome = await call(runtime, {
      principal: ownerOf(form.email),
      tool: choosePassword,
      input: { email: form.email, token: form.token, password },
      origin: { request: request.id, address: request.clientAddress },
    });
    if (outcome.ok) return send(reply, donePage(language, words.done));
    const { code } = outcome.error;
    if (code === "link_not_found") return send(reply, deadPage(language), 404);
    if (code === "invalid_input") return send(reply, linkPage(form, words.refused), 400);
    if (outcome.error.temporary) return send(reply, linkPage(form, words.busy), statuses[code]);
    return send(reply, failedPage(language, `${words.bug} ${request.id}`), statuses[code]);
  }

  /** Answers a failure without details. */
  failed(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const language = languageOf(request);
    const { busy, unreadable, bug } = languages[language];
    if (error instanceof MailError) return send(reply, failedPage(language, busy), statuses[error.code]);
    const { statusCode = 500 } = error;
    if (statusCode < 500) return send(reply, failedPage(language, unreadable), statusCode);
    this.#parts.runtime.reportFailure("bug", error, request.id);
    return send(reply, failedPage(language, `${bug} ${request.id}`), 500);
  }

  /** The form of the request's link; undefined if the link does not work. */
  async #formOf(request: FastifyRequest): Promise<LinkForm | undefined> {
    const { runtime } = this.#parts;
    const { token } = request.params as { token: string };
    const id = credentialId("passwordLink", token);
    if (id === undefined) return undefined;
    const link = await runtime.store.read(({ passwordLinks }) => passwordLinks.find(id));
    if (!opens(token, link, runtime.now().toISOString())) return undefined;
    const { kind, email } = link;
    return { language: languageOf(request), kind, email, token, csrf: csrfToken(this.#csrfKey, token) };
  }
}

/** The owner of a mailbox, who may change it alone. */
export function ownerOf(email: string): Principal {
  const domain = email.slice(email.indexOf("@") + 1);
  return { name: email, door: "page", scopes: new Set(["write"]), domains: new Set([domain]) };
}

export function send(reply: FastifyReply, page: string, status = 200): FastifyReply {
  return reply.code(status).type("text/html; charset=utf-8").send(page);
}
