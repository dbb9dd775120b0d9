import type { FastifyReply, FastifyRequest } from "fastify";
import { call } from "../../../tools/call/call.ts";
import { isLoginOn } from "../../../tools/call/login.ts";
import { BCRYPT_SCHEME } from "../../../tools/call/password-hash.ts";
import type { Result, Tool } from "../../../tools/call/tool.ts";
import { endAppPassword, makeAppPassword } from "../../../tools/sets/people/owner/app-passwords.ts";
import { changeOwnPassword } from "../../../tools/sets/people/owner/change-own-password.ts";
import { isProof, type OwnMailbox, proofOf } from "../../../tools/sets/people/owner/own-mailbox.ts";
import { type Address, parseAddress } from "../../mail/address.ts";
import { MailError } from "../../mail/error.ts";
import { Cookies } from "../html/cookies.ts";
import { FormTokens, formIn, passwordIn } from "../html/forms.ts";
import { sendPage } from "../html/layout.ts";
import { ownerLimits, type Session, Sessions } from "../html/sessions.ts";
import { type Transport, transportOf } from "../html/transport.ts";
import { statuses } from "../http/problem.ts";
import { accountPage, newAppPasswordPage, signInPage } from "./account-pages.ts";
import { donePage, failedPage } from "./pages.ts";
import { type OwnerParts, ownerOf } from "./password-link-page.ts";
import type { AccountAction } from "./routes.ts";
import { type Language, languageOf, languages, type Words } from "./words.ts";

/** A request with its form, transport and cookies, and the owner who is signed in. */
interface Visit {
  request: FastifyRequest;
  reply: FastifyReply;
  form: URLSearchParams;
  language: Language;
  words: Words;
  transport: Transport;
  cookies: Cookies;
  owner: SignedIn | undefined;
}

/** The cookie's secret, its session, and the mailbox as it is now. */
interface SignedIn {
  secret: string;
  session: Session;
  user: OwnMailbox;
}

/** The page on which the owner of a mailbox signs in, changes the password and has app passwords. */
export class AccountPage {
  readonly #parts: OwnerParts;
  readonly #sessions = new Sessions(ownerLimits);
  readonly #tokens = new FormTokens();

  constructor(parts: OwnerParts) {
    this.#parts = parts;
  }

  async show(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const visit = await this.#visit(request, reply);
    return visit.owner === undefined ? this.#askToSignIn(visit) : this.#showAccount(visit, visit.owner);
  }

  async act(name: AccountAction, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const visit = await this.#visit(request, reply);
    const { owner, transport, cookies, words } = visit;
    if (transport === "plain") return fail(visit, words.plainSignIn, 403);
    const bearer = name === "sign-in" ? cookies.get("owner-form") : owner?.secret;
    if (!this.#tokens.accept(request, visit.form, bearer)) return fail(visit, words.foreignOrEnded, 403);
    if (name === "sign-in") return this.#signIn(visit);
    if (owner === undefined) throw new Error("only the form for signing in has another bearer");
    if (name === "password") return this.#changePassword(visit, owner);
    if (name === "app-password") return this.#makeAppPassword(visit, owner);
    if (name === "end-app-password") return this.#endAppPassword(visit, owner);
    this.#signOut(visit, owner);
    return reply.redirect("./", 303);
  }

  async #visit(request: FastifyRequest, reply: FastifyReply): Promise<Visit> {
    const { hasTls, publicUrl } = this.#parts;
    const transport = transportOf(request, hasTls, publicUrl);
    const cookies = new Cookies(request, reply, transport === "https");
    const secret = cookies.get("owner");
    const owner = secret === undefined ? undefined : await this.#signedIn(secret);
    const language = languageOf(request);
    const form = formIn(request);
    return { request, reply, form, language, words: languages[language], transport, cookies, owner };
  }

  async #signedIn(secret: string): Promise<SignedIn | undefined> {
    const session = this.#sessions.find(secret, this.#now());
    if (session === undefined) return undefined;
    const user = await this.#find(parseAddress(session.subject));
    if (isProof(user, session.proof)) return { secret, session, user };
    this.#sessions.end(secret);
    return undefined;
  }

  #askToSignIn(visit: Visit, error?: string, status?: number): FastifyReply {
    const { reply, language, words, transport, cookies } = visit;
    if (transport === "plain") return fail(visit, words.plainSignIn, 403);
    const csrf = this.#tokens.of(cookies.getOrSet("owner-form"));
    return sendPage(reply, signInPage(language, csrf, error), status);
  }

  /** @param error why the last action was refused */
  #showAccount(
    { reply, language }: Visit,
    { secret, session, user }: SignedIn,
    error?: string,
    status?: number,
  ): FastifyReply {
    const { notice } = session;
    session.notice = undefined;
    const { email, appPasswords } = user;
    const csrf = this.#tokens.of(secret);
    return sendPage(reply, accountPage({ language, csrf, email, appPasswords, notice, error }), status);
  }

  async #signIn(visit: Visit): Promise<FastifyReply> {
    const { log } = this.#parts;
    const { request, reply, form, words, cookies } = visit;
    const about = { address: request.clientAddress, request: request.id };
    const checked = await this.#check(visit, addressIn(form), passwordIn(form));
    if (checked === "busy") return this.#askToSignIn(visit, words.busy, 429);
    if (checked === "wrong") {
      log.warn("owner's page: wrong address or password", about);
      return this.#askToSignIn(visit, words.wrongSignIn, 403);
    }
    if (visit.owner !== undefined) this.#sessions.end(visit.owner.secret);
    cookies.set("owner", this.#sessions.begin(checked.email, proofOf(checked), this.#now()));
    cookies.remove("owner-form");
    log.info("owner's page: an owner signed in", { ...about, mailbox: checked.email });
    return reply.redirect("./", 303);
  }

  #signOut({ cookies }: Visit, { secret }: SignedIn): void {
    this.#sessions.end(secret);
    cookies.remove("owner");
  }

  async #changePassword(visit: Visit, owner: SignedIn): Promise<FastifyReply> {
    const { reply, form, language, words } = visit;
    const password = passwordIn(form);
    if (password !== form.get("again")) return this.#showAccount(visit, owner, words.different, 400);
    const checked = await this.#check(visit, owner.user, passwordIn(form, "present"));
    if (checked === "busy") return this.#showAccount(visit, owner, words.busy, 429);
    if (checked === "wrong") return this.#showAccount(visit, owner, words.wrongPresent, 403);
    const outcome = await this.#run(visit, owner, changeOwnPassword, { password });
    if ("error" in outcome) return this.#refuse(visit, owner, outcome.error, words.refused);
    this.#signOut(visit, owner);
    return sendPage(reply, donePage(language, words.changed));
  }

  async #makeAppPassword(visit: Visit, owner: SignedIn): Promise<FastifyReply> {
    const { reply, form, language, words } = visit;
    const outcome = await this.#run(visit, owner, makeAppPassword, { name: form.get("name") });
    if ("error" in outcome) return this.#refuse(visit, owner, outcome.error, words.badName);
    const { name, app_password: password } = outcome.value;
    return sendPage(reply, newAppPasswordPage(language, { email: owner.user.email, name, password }));
  }

  async #endAppPassword(visit: Visit, owner: SignedIn): Promise<FastifyReply> {
    const { reply, form, words } = visit;
    const outcome = await this.#run(visit, owner, endAppPassword, { name: form.get("name") });
    if ("error" in outcome) return this.#refuse(visit, owner, outcome.error, words.badName);
    owner.session.notice = words.ended;
    return reply.redirect("./", 303);
  }

  /** @param invalid the words for wrong input */
  #refuse(visit: Visit, owner: SignedIn, { code, temporary }: MailError, invalid: string): FastifyReply {
    const { request, words } = visit;
    const status = statuses[code];
    if (code === "invalid_input") return this.#showAccount(visit, owner, invalid, status);
    if (temporary) return this.#showAccount(visit, owner, words.busy, status);
    if (code === "unauthorized") return fail(visit, words.foreignOrEnded, 403);
    return fail(visit, `${words.bug} ${request.id}`, status);
  }

  /** Runs an operation as the owner. */
  async #run<T extends Tool>(
    { request }: Visit,
    { user, session }: SignedIn,
    tool: T,
    input: Record<string, unknown>,
  ): Promise<{ value: Result<T> } | { error: MailError }> {
    const outcome = await call(this.#parts.runtime, {
      principal: ownerOf(user.email),
      tool,
      input: { email: user.email, proof: session.proof, ...input },
      origin: { request: request.id, address: request.clientAddress },
    });
    return outcome.ok ? { value: outcome.value as Result<T> } : { error: outcome.error };
  }

  /**
   * An unknown address, or a mailbox whose owner cannot sign in, is answered like a wrong password and takes as long.
   *
   * @returns the mailbox with this address and password
   */
  async #check(
    { request }: Visit,
    address: Pick<Address, "domain" | "localPart"> | undefined,
    password: string,
  ): Promise<OwnMailbox | "wrong" | "busy"> {
    let found: OwnMailbox | undefined;
    const outcome = await this.#parts.passwords.run(password, request.clientAddress, async () => {
      found = address && (await this.#find(address));
      return found && comparableHash(found);
    });
    if (outcome !== "right" || found === undefined) return outcome === "busy" ? "busy" : "wrong";
    return found;
  }

  #find(address: Pick<Address, "domain" | "localPart">): Promise<OwnMailbox | undefined> {
    return this.#parts.store.read(({ users }) => users.find(address));
  }

  #now(): number {
    return this.#parts.runtime.now().getTime();
  }
}

function fail({ reply, language }: Visit, reason: string, status: number): FastifyReply {
  return sendPage(reply, failedPage(language, reason), status);
}

/**
 * The hash as bcrypt compares it, for which $2y$ is $2b$ by another name; undefined for a mailbox that has none. An import's
 * hash may be of a scheme that only Dovecot knows.
 */
function comparableHash(user: OwnMailbox): string | undefined {
  const [, minor, rest] = /^\{(?:BLF-)?CRYPT\}\$2([aby])\$(.+)$/.exec(user.passwordHash) ?? [];
  if (rest === undefined || !user.active || !isLoginOn(user)) return undefined;
  return `${BCRYPT_SCHEME}$2${minor === "y" ? "b" : minor}$${rest}`;
}

/** The address that was typed; undefined if no mailbox can have it. */
function addressIn(form: URLSearchParams): Address | undefined {
  try {
    return parseAddress((form.get("username") ?? "").trim());
  } catch (error) {
    if (error instanceof MailError) return undefined;
    throw error;
  }
}
