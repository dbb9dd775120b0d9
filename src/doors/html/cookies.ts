import { randomBytes } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";

/** `session` identifies a signed-in operator, `form` a browser that got the sign-in form; the owner's page has its own. */
export type CookieName = "session" | "form" | "owner" | "owner-form";

const VALUE = /^[A-Za-z0-9_-]{43}$/;

/** 256 random bits, for a cookie. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** The cookies of one request. Under HTTPS no other host and no plain HTTP can set or read them (RFC 6265bis 4.1.3). */
export class Cookies {
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #isHttps: boolean;

  constructor(request: FastifyRequest, reply: FastifyReply, isHttps: boolean) {
    this.#request = request;
    this.#reply = reply;
    this.#isHttps = isHttps;
  }

  /** Undefined without a cookie, for two of the same name, and for a value that is not ours. */
  get(name: CookieName): string | undefined {
    const prefix = `${this.#fullName(name)}=`;
    const values = (this.#request.headers.cookie ?? "")
      .split("; ")
      .filter((cookie) => cookie.startsWith(prefix))
      .map((cookie) => cookie.slice(prefix.length));
    return values.length === 1 && VALUE.test(values[0] ?? "") ? values[0] : undefined;
  }

  /** The cookie's value; a new secret, which it sets, if there is none. */
  getOrSet(name: CookieName): string {
    const known = this.get(name);
    if (known !== undefined) return known;
    const secret = newSecret();
    this.set(name, secret);
    return secret;
  }

  set(name: CookieName, value: string): void {
    this.#send(`${this.#fullName(name)}=${value}`);
  }

  remove(name: CookieName): void {
    this.#send(`${this.#fullName(name)}=; Max-Age=0`);
  }

  #send(cookie: string): void {
    const attributes = `; Path=/; HttpOnly; SameSite=Strict${this.#isHttps ? "; Secure" : ""}`;
    this.#reply.header("set-cookie", cookie + attributes);
  }

  #fullName(name: CookieName): string {
    return `${this.#isHttps ? "__Host-" : ""}m25-mail-${name}`;
  }
}
