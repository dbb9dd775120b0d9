import { hash, randomBytes } from "node:crypto";

const MINUTE = 60_000;
/** ms from the last request, and from the sign-in, to the end of a session. */
export const IDLE_LIMIT = 30 * MINUTE;
export const ABSOLUTE_LIMIT = 8 * 60 * MINUTE;
/** Maximum number of sessions. The least recently used one ends first. */
const MOST = 50;

/** A browser in which the operator has signed in. */
export interface Session {
  began: number;
  seen: number;
  /** The operator's password hash at the sign-in: with another password, the session is over. */
  passwordHash: string;
  /** The result of the last action, until it is shown. */
  notice?: string | undefined;
}

/** 256 random bits, for a cookie. */
export function newSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** Sessions in this process's memory, by the SHA-256 of the cookie. The most recently used comes last. */
export class Sessions {
  readonly #byHash = new Map<string, Session>();

  /** @returns the cookie's value */
  begin(passwordHash: string, now: number): string {
    const secret = newSecret();
    this.#byHash.set(hash("sha256", secret), { began: now, seen: now, passwordHash });
    const [oldest = ""] = this.#byHash.keys();
    if (this.#byHash.size > MOST) this.#byHash.delete(oldest);
    return secret;
  }

  /** @param passwordHash as it is now */
  find(secret: string, passwordHash: string | undefined, now: number): Session | undefined {
    const key = hash("sha256", secret);
    const session = this.#byHash.get(key);
    if (session === undefined) return undefined;
    this.#byHash.delete(key);
    const isOver =
      session.passwordHash !== passwordHash ||
      !isWithin(now - session.seen, IDLE_LIMIT) ||
      !isWithin(now - session.began, ABSOLUTE_LIMIT);
    if (isOver) return undefined;
    session.seen = now;
    this.#byHash.set(key, session);
    return session;
  }

  end(secret: string): void {
    this.#byHash.delete(hash("sha256", secret));
  }
}

/** A clock that was set back ends a session too, because its age is unknown. */
function isWithin(elapsed: number, limit: number): boolean {
  return elapsed >= 0 && elapsed <= limit;
}
