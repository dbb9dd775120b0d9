import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { call } from "../../../tools/call/call.ts";
import { operator } from "../../../tools/call/principal.ts";
import type { Result, Tool } from "../../../tools/call/tool.ts";
import { approveAlias, refuseAlias, seenOf } from "../../../tools/operator/aliases.ts";
import { acceptRemovals } from "../../../tools/operator/nodes/nodes.ts";
import { revokeGrant } from "../../../tools/operator/oauth/grants.ts";
import { loginRefusals } from "../../auth/operator-login.ts";
import { MailError } from "../../mail/error.ts";
import { atTheShell } from "../cli/wording.ts";
import { Cookies } from "../html/cookies.ts";
import { FormTokens, formIn, passwordIn } from "../html/forms.ts";
import type { Html } from "../html/html.ts";
import { pageHeaders, sendPage } from "../html/layout.ts";
import { operatorLimits, type Session, Sessions } from "../html/sessions.ts";
import { type Transport, transportOf } from "../html/transport.ts";
import { statuses } from "../http/problem.ts";
import { WriteTrial } from "../write-trial.ts";
import { accessPage, endGrantPage } from "./access.ts";
import { changesPage } from "./changes.ts";
import { domainsPage } from "./domains.ts";
import { foreign } from "./elements.ts";
import { forwardPage, waitingForward } from "./forwards.ts";
import { nodesPage } from "./nodes.ts";
import { overviewPage } from "./overview.ts";
import { failurePage, signInPage, unencryptedPage } from "./plain-pages.ts";
import type { ActionName, PageParts, ViewName } from "./routes.ts";
import type { View } from "./view.ts";
import { acceptPage, addresses, withheldBy, withheldState } from "./withheld.ts";
import { onThePage } from "./wording.ts";

/** A request's transport, cookies and session, found before it is answered. */
interface Visit {
  transport: Transport;
  cookies: Cookies;
  /** The cookie's secret and its session, if the operator is signed in. */
  signedIn: { secret: string; session: Session } | undefined;
}

const principal = operator("page");

const pages: Record<ViewName, (view: View) => Promise<string>> = {
  overview: overviewPage,
  nodes: nodesPage,
  domains: domainsPage,
  changes: changesPage,
  access: accessPage,
  accept: (view) => acceptPage(view, view.query.name),
  forward: (view) => forwardPage(view, { alias: view.query.alias, target: view.query.target }),
  "end-grant": endGrantPage,
};

/** The operator's page: answers requests for views and actions, and checks who is signed in. */
export class OperatorPage {
  readonly #parts: PageParts;
  readonly #sessions = new Sessions(operatorLimits);
  readonly #writeTrial: WriteTrial;
  readonly #tokens = new FormTokens();
  readonly #visits = new WeakMap<FastifyRequest, Visit>();

  constructor(parts: PageParts) {
    this.#parts = parts;
    this.#writeTrial = new WriteTrial(parts.store);
  }

  /** Finds the session of a request. Call it before the other methods. */
  async begin(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.headers(pageHeaders);
    const { hasTls, publicUrl } = this.#parts;
    const transport = transportOf(request, hasTls, publicUrl);
    const cookies = new Cookies(request, reply, transport === "https");
    const secret = cookies.get("session");
    const signedIn = secret === undefined ? undefined : await this.#signedIn(secret);
    if (signedIn !== undefined) request.principal = principal;
    this.#visits.set(request, { transport, cookies, signedIn });
  }

  async #signedIn(secret: string): Promise<Visit["signedIn"]> {
    const session = this.#sessions.find(secret, this.#now().getTime());
    if (session === undefined) return undefined;
    if (session.proof === (await this.#parts.login.passwordHash())) return { secret, session };
    this.#sessions.end(secret);
    return undefined;
  }

  async view(name: ViewName, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { signedIn } = this.#visit(request);
    if (signedIn === undefined) return this.#askForPassword(request, reply);
    const { notice } = signedIn.session;
    signedIn.session.notice = undefined;
    return sendPage(reply, await pages[name](this.#viewOf(name, request, signedIn.secret, notice)));
  }

  async act(name: ActionName, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { cookies, signedIn, transport } = this.#visit(request);
    if (transport === "plain") return sendPage(reply, unencryptedPage(), 403);
    const bearer = name === "sign-in" ? cookies.get("form") : signedIn?.secret;
    const form = formIn(request);
    if (!this.#tokens.accept(request, form, bearer)) return fail(reply, request, NOT_OWN, 403);
    if (name === "sign-in") return this.#signIn(request, reply, form);
    if (signedIn === undefined) throw new Error("only the form for signing in has another bearer");
    if (name === "sign-out") {
      this.#sessions.end(signedIn.secret);
      cookies.remove("session");
    } else {
      if (this.#parts.isReadOnly) return fail(reply, request, READ_ONLY, 403);
      const view = this.#viewOf(name, request, signedIn.secret, undefined);
      const answer = await answers[name](view, form);
      if (answer.changed !== undefined) return sendPage(reply, answer.changed, 409);
      signedIn.session.notice = answer.notice;
    }
    return reply.redirect("../", 303);
  }

  /** Answers a failure: an expected one in its own words, any other without details. */
  failed(error: FastifyError, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    reply.headers(pageHeaders); // the failure may come before the hook that sets them
    if (error instanceof MailError) {
      const words = { message: atTheShell(error.detail), hint: onThePage(error.hint) };
      return fail(reply, request, words, statuses[error.code]);
    }
    const { statusCode = 500 } = error;
    if (statusCode < 500) return fail(reply, request, UNREADABLE, statusCode);
    this.#parts.runtime.reportFailure("bug", error, request.id);
    const message = `Something went wrong inside M25 Mail (reference ${request.id}).`;
    return fail(reply, request, { message, hint: "The server’s log has the details." }, 500);
  }

  async #askForPassword(
    request: FastifyRequest,
    reply: FastifyReply,
    { error, status }: { error?: string; status?: number } = {},
  ) {
    const { cookies, transport } = this.#visit(request);
    if (transport === "plain") return sendPage(reply, unencryptedPage(), 403);
    if (!(await this.#parts.login.hasPassword()))
      return sendPage(reply, signInPage(rootOf(request), undefined));
    const csrf = this.#tokens.of(cookies.getOrSet("form"));
    return sendPage(reply, signInPage(rootOf(request), csrf, error), status);
  }

  async #signIn(request: FastifyRequest, reply: FastifyReply, form: URLSearchParams): Promise<FastifyReply> {
    const { log, login } = this.#parts;
    const about = { address: request.clientAddress, request: request.id };
    // Read the hash before the comparison: a session must not outlive a password that changes meanwhile.
    const passwordHash = await login.passwordHash();
    const outcome = await login.check(passwordIn(form), request.clientAddress);
    if (outcome !== "right" || passwordHash === undefined) {
      const refusal = outcome === "busy" ? "busy" : "wrong";
      if (refusal === "wrong") log.warn("page: wrong operator password", about);
      return this.#askForPassword(request, reply, loginRefusals[refusal]);
    }
    const { cookies, signedIn } = this.#visit(request);
    if (signedIn !== undefined) this.#sessions.end(signedIn.secret);
    cookies.set("session", this.#sessions.begin("operator", passwordHash, this.#now().getTime()));
    cookies.remove("form");
    log.info("page: the operator signed in", about);
    return reply.redirect("../", 303);
  }

  #viewOf(name: ViewName, request: FastifyRequest, secret: string, notice: string | undefined): View {
    const { store, isReadOnly, runtime } = this.#parts;
    const query = Object.entries(request.query as Record<string, unknown>).filter(
      (entry): entry is [string, string] => typeof entry[1] === "string",
    );
    return {
      name,
      root: rootOf(request),
      csrf: this.#tokens.of(secret),
      now: this.#now(),
      query: Object.fromEntries(query),
      notice,
      store,
      writeTrial: this.#writeTrial,
      isReadOnly,
      async ask<T extends Tool>(tool: T, input: Record<string, unknown> = {}) {
        // The request's log line has room for one call, so the many reads of a page go without its id.
        const origin = {
          address: request.clientAddress,
          ...(tool.effect !== "read" && { request: request.id }),
        };
        const outcome = await call(runtime, { principal, tool, input, origin });
        if (!outcome.ok) throw outcome.error;
        return outcome.value as Result<T>;
      },
    };
  }

  #visit(request: FastifyRequest): Visit {
    const visit = this.#visits.get(request);
    if (visit === undefined) throw new Error("the request was not begun");
    return visit;
  }

  #now(): Date {
    return this.#parts.runtime.now();
  }
}

/** The notice of a done action, or the page that asks again because something has changed. */
type Answer = { notice: string; changed?: undefined } | { changed: string; notice?: undefined };

async function accept(view: View, form: URLSearchParams): Promise<Answer> {
  const name = form.get("name") ?? undefined;
  const seen = form.get("count") ?? "";
  const node = await withheldBy(view, name);
  if (withheldState(node) !== seen) return { changed: await acceptPage(view, name, seen) };
  const { takes_effect } = await view.ask(acceptRemovals, { name });
  return { notice: `${name} may remove ${addresses(node)}. This takes effect ${takes_effect}.` };
}

async function endGrant(view: View, form: URLSearchParams): Promise<Answer> {
  const { client } = await view.ask(revokeGrant, { id: form.get("id") });
  return { notice: `The access of “${foreign(client)}” has ended.` };
}

async function decide(view: View, form: URLSearchParams): Promise<Answer> {
  const asked = { alias: form.get("alias") ?? undefined, target: form.get("target") ?? undefined };
  const forward = await waitingForward(view, asked);
  const seen = seenOf([forward]);
  if (seen !== form.get("seen")) return { changed: await forwardPage(view, asked, "") };
  const { alias, target } = forward;
  if (form.get("answer") !== "approve") {
    await view.ask(refuseAlias, { address: alias, target });
    return { notice: `${target} is taken out of ${alias}, and gets none of its mail.` };
  }
  await view.ask(approveAlias, { address: alias, targets: [target], seen });
  return { notice: `Mail for ${alias} now goes to ${target}, too.` };
}

const answers = { accept, forward: decide, "end-grant": endGrant };

const NOT_OWN = {
  message: "This form did not come from this server’s page, or you are not signed in any more.",
  hint: "Nothing was changed. Go back, load the page again, and let the browser keep its cookies.",
};
const READ_ONLY = {
  message: "This server was started with --read-only.",
  hint: "Nothing was changed. The operator’s commands at the shell still work.",
};
const UNREADABLE = { message: "The form could not be read.", hint: "Nothing was changed." };

function rootOf({ routeOptions: { url } }: FastifyRequest): "./" | "../" {
  return url === "/" ? "./" : "../";
}

function fail(
  reply: FastifyReply,
  request: FastifyRequest,
  { message, hint }: { message: string; hint: Html | string },
  status: number,
): FastifyReply {
  return sendPage(reply, failurePage(rootOf(request), message, hint), status);
}
