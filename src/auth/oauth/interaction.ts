import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { errors, type InteractionResults, type Provider } from "oidc-provider";
import type { Store, Tables } from "../../../db/store.ts";
import { type Scope, scopes } from "../../../tools/call/principal.ts";
import { isLoopback } from "../../../tools/operator/oauth/redirect-uri.ts";
import { csrfToken, formIn, isFromPage, passwordIn, readForms } from "../../doors/html/forms.ts";
import { pageHeaders, sendPage } from "../../doors/html/layout.ts";
import type { Log } from "../../log/log.ts";
import { loginRefusals, type OperatorLogin } from "../operator-login.ts";
import { type Access, plainName } from "./authenticate.ts";
import {
  type Choice,
  consentPage,
  errorPage,
  firstChoice,
  type Request,
  returnPage,
  signInPage,
} from "./page.ts";
import { OPERATOR, routes } from "./provider.ts";
import { redirectTarget } from "./redirect.ts";

export interface InteractionParts {
  provider: Provider;
  resource: string;
  store: Store;
  login: OperatorLogin;
  cookieKey: string;
  now(): Date;
  log: Log;
}

interface GrantedAccess {
  scopes: Scope[];
  /** null for all. */
  domains: string[] | null;
}

type PendingRequest = Request & { isSignedIn: boolean };

/**
 * Mounts the page on which the operator signs in and then chooses what a client may do. It shows no domain before
 * the sign-in: anybody can begin an authorization request and look at the page.
 */
export async function mountInteraction(scope: FastifyInstance, parts: InteractionParts): Promise<void> {
  const { log } = parts;
  scope.addHook("onRequest", async (_request, reply) => void reply.headers(pageHeaders));
  scope.setErrorHandler((error, _request, reply) => {
    if (error instanceof errors.SessionNotFound) {
      return sendPage(reply, errorPage("This request has ended, or began in another browser."), 400);
    }
    const { statusCode = 500 } = error as FastifyError;
    if (statusCode < 500) return sendPage(reply, errorPage("The form could not be read."), statusCode);
    log.error("OAuth: a page could not be shown", error);
    return sendPage(reply, errorPage("Something went wrong inside M25 Mail."), 500);
  });
  readForms(scope);
  const page = new InteractionPage(parts);
  scope.get(`${routes.interaction}/:uid`, (request, reply) => page.view(request, reply));
  scope.post(`${routes.interaction}/:uid`, (request, reply) => page.submit(request, reply));
}

class InteractionPage {
  readonly #parts: InteractionParts;

  constructor(parts: InteractionParts) {
    this.#parts = parts;
  }

  async view(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { login, store } = this.#parts;
    const asked = await this.#pending(request, reply);
    if (!asked.isSignedIn) return sendPage(reply, signInPage(asked, await login.hasPassword()));
    return sendPage(reply, consentPage(asked, await store.read(allDomains), firstChoice));
  }

  async submit(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const asked = await this.#pending(request, reply);
    const form = formIn(request);
    if (!isFromPage(request, form, asked.csrf)) {
      this.#parts.log.warn("OAuth: refused a form that did not come from the page");
      return sendPage(reply, errorPage("This form did not come from this server’s page."), 403);
    }
    if (form.get("decision") === "deny") return this.#decide(request, reply, asked, DENIED);
    return asked.isSignedIn
      ? this.#consent(request, reply, asked, form)
      : this.#signIn(request, reply, asked, form);
  }

  /** The request that this browser's cookie stands for. @throws SessionNotFound */
  async #pending(request: FastifyRequest, reply: FastifyReply): Promise<PendingRequest> {
    const { provider, resource, cookieKey } = this.#parts;
    const { uid, params, result } = await provider.interactionDetails(request.raw, reply.raw);
    if (uid !== (request.params as { uid: string }).uid) throw new errors.SessionNotFound("another request");
    const clientId = String(params.client_id);
    const client = await provider.Client.find(clientId);
    if (client === undefined) throw new errors.SessionNotFound("the client is gone");
    const redirectUri = String(params.redirect_uri);
    const wanted = new Set(String(params.scope).split(" "));
    return {
      clientName: client.clientName ?? clientId,
      clientHost: URL.canParse(clientId) ? new URL(clientId).host : undefined,
      clientId,
      target: redirectTarget(redirectUri),
      isLocal: isLoopback(redirectUri),
      host: new URL(resource).host,
      scopes: scopes.filter((name) => wanted.has(name)),
      action: `${routes.interaction}/${uid}`,
      csrf: csrfToken(cookieKey, uid),
      isSignedIn: result?.login !== undefined,
    };
  }

  async #signIn(request: FastifyRequest, reply: FastifyReply, asked: PendingRequest, form: URLSearchParams) {
    const { provider, login, log } = this.#parts;
    const outcome = await login.check(passwordIn(form), request.clientAddress);
    if (outcome !== "right") {
      if (outcome === "wrong") {
        log.warn("OAuth: wrong operator password", { address: request.clientAddress });
      }
      const { error, status } = loginRefusals[outcome];
      return sendPage(reply, signInPage(asked, await login.hasPassword(), error), status);
    }
    await provider.interactionResult(request.raw, reply.raw, { login: SIGNED_IN });
    return reply.redirect(asked.action, 303);
  }

  async #consent(request: FastifyRequest, reply: FastifyReply, asked: PendingRequest, form: URLSearchParams) {
    const { provider, resource, store, log } = this.#parts;
    const domains = await store.read(allDomains);
    const chosen = choiceOf(form);
    const granted = judge(asked.scopes, domains, chosen);
    if (typeof granted === "string")
      return sendPage(reply, consentPage(asked, domains, chosen, granted), 400);
    const grant = new provider.Grant({ accountId: OPERATOR, clientId: asked.clientId });
    grant.addResourceScope(resource, granted.scopes.join(" "));
    const access: Access = { type: "m25-mail", domains: granted.domains, client_name: asked.clientName };
    grant.addRar(access);
    await this.#recordConsent(request, plainName(asked.clientName), granted);
    const grantId = await grant.save();
    log.info("OAuth: the operator allowed a client", {
      client: plainName(asked.clientName),
      scopes: granted.scopes.join(" "),
      domains: granted.domains?.length ?? "all",
    });
    return this.#decide(request, reply, asked, { login: SIGNED_IN, consent: { grantId } });
  }

  /** Called before the provider saves the grant, so that no grant lacks its entry. */
  async #recordConsent(
    { clientAddress, id }: FastifyRequest,
    client: string,
    { scopes, domains }: GrantedAccess,
  ) {
    const { store, now } = this.#parts;
    await store.write(({ audit }) =>
      audit.append({
        at: now().toISOString(),
        principal: OPERATOR,
        door: "oauth",
        address: clientAddress,
        request: id,
        tool: "allow-client",
        arguments: { client, scopes, domains },
      }),
    );
  }

  async #decide(
    request: FastifyRequest,
    reply: FastifyReply,
    asked: PendingRequest,
    result: InteractionResults,
  ) {
    const url = await this.#parts.provider.interactionResult(request.raw, reply.raw, result);
    return sendPage(reply, returnPage(url, asked.target));
  }
}

const SIGNED_IN = { accountId: OPERATOR, remember: false };
const DENIED = { error: "access_denied", error_description: "the operator said no" };

async function allDomains(tables: Tables): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const page = await tables.domains.page(1000, names.at(-1));
    if (page.length === 0) return names;
    names.push(...page.map((domain) => domain.name));
  }
}

function choiceOf(form: URLSearchParams): Choice {
  const access = form.get("access");
  return {
    scopes: new Set(form.getAll("scope")),
    access: access === "all" || access === "some" ? access : undefined,
    domains: new Set(
      form.getAll("domain").flatMap((names) => names.split(/[\s,]+/).filter((name) => name !== "")),
    ),
  };
}

/** The choice, if the client asked for that much and the domains exist; else the error to show. */
function judge(asked: readonly Scope[], domains: readonly string[], choice: Choice): GrantedAccess | string {
  const granted = asked.filter((scope) => choice.scopes.has(scope));
  if (granted.length !== choice.scopes.size) return "More is ticked than the program asks for.";
  if (granted.length === 0) return "Tick what it may do, or deny it.";
  if (choice.access === undefined) return "Choose the domains.";
  if (choice.access === "all") return { scopes: granted, domains: null };
  if (choice.domains.size === 0) return "Choose at least one domain.";
  const known = new Set(domains);
  if (![...choice.domains].every((name) => known.has(name)))
    return "One of these domains is not registered here.";
  if (granted.includes("nodes")) return "Mail servers serve all domains: untick them, or choose all domains.";
  return { scopes: granted, domains: [...choice.domains].sort() };
}
