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
import { FormTokens, formIn, passwordIn } from "../html/forms.ts";
import { pageHeaders, sendPage } from "../html/layout.ts";
import { transportOf } from "../html/transport.ts";
import { statuses } from "../http/problem.ts";
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

/** The page of a password link, on which the owner of a mailbox chooses a password. */
export class PasswordLinkPage {
  readonly #parts: OwnerParts;
  readonly #tokens: FormTokens;

  /** @param key of its forms, which may come to another server */
  constructor(parts: OwnerParts, key: Uint8Array) {
    this.#parts = parts;
    this.#tokens = new FormTokens(key);
  }

  begin(reply: FastifyReply): void {
    reply.headers({ ...pageHeaders, vary: "accept-language" });
  }

  /** Shows a link's form. It consumes nothing: mail scanners follow links. */
  async show(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { hasTls, publicUrl } = this.#parts;
    const language = languageOf(request);
    if (transportOf(request, hasTls, publicUrl) === "plain") {
      return sendPage(reply, failedPage(language, languages[language].plain), 403);
    }
    const form = await this.#formOf(request);
    return form === undefined ? sendPage(reply, deadPage(language), 404) : sendPage(reply, linkPage(form));
  }

  /** Sets the password and ends the link. */
  async choose(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { hasTls, publicUrl, runtime } = this.#parts;
    const language = languageOf(request);
    const words = languages[language];
    if (transportOf(request, hasTls, publicUrl) === "plain") {
      return sendPage(reply, failedPage(language, words.plain), 403);
    }
    const form = await this.#formOf(request);
    if (form === undefined) return sendPage(reply, deadPage(language), 404);
    const fields = formIn(request);
    if (!this.#tokens.accept(request, fields, form.token)) {
      return sendPage(reply, failedPage(language, words.foreignForm), 403);
    }
    const password = passwordIn(fields);
    if (password !== fields.get("again")) return sendPage(reply, linkPage(form, words.different), 400);
    const outcome = await call(runtime, {
      principal: ownerOf(form.email),
      tool: choosePassword,
      input: { email: form.email, token: form.token, password },
      origin: { request: request.id, address: request.clientAddress },
    });
    if (outcome.ok) return sendPage(reply, donePage(language, words.done));
    const { code } = outcome.error;
    if (code === "link_not_found") return sendPage(reply, deadPage(language), 404);
    if (code === "invalid_input") return sendPage(reply, linkPage(form, words.refused), 400);
    if (outcome.error.temporary) return sendPage(reply, linkPage(form, words.busy), statuses[code]);
    return sendPage(reply, failedPage(language, `${words.bug} ${request.id}`), statuses[code]);
  }

  /** Answers a failure without details. */
  failed(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const language = languageOf(request);
    const { busy, unreadable, bug } = languages[language];
    if (error instanceof MailError) return sendPage(reply, failedPage(language, busy), statuses[error.code]);
    const { statusCode = 500 } = error;
    if (statusCode < 500) return sendPage(reply, failedPage(language, unreadable), statusCode);
    this.#parts.runtime.reportFailure("bug", error, request.id);
    return sendPage(reply, failedPage(language, `${bug} ${request.id}`), 500);
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
    return { language: languageOf(request), kind, email, token, csrf: this.#tokens.of(token) };
  }
}

/** The owner of a mailbox, who may change it alone. */
export function ownerOf(email: string): Principal {
  const domain = email.slice(email.indexOf("@") + 1);
  return { name: email, door: "page", scopes: new Set(["write"]), domains: new Set([domain]) };
}
