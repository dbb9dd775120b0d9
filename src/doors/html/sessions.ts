import { hash } from "node:crypto";
import { newSecret } from "./cookies.ts";

const MINUTE = 60_000;

/** The limits of a page's sessions. Times are in ms. */
export interface SessionLimits {
  /** From the last request to the end of a session. */
  idle: number;
  /** From the sign-in to the end of a session. */
  absolute: number;
  /** Maximum number of sessions, of all and of each subject. The least recently used one ends first. */
  most: number;
  mostOfOne: number;
}

export const operatorLimits: SessionLimits = {
  idle: 30 * MINUTE,
  absolute: 8 * 60 * MINUTE,
  most: 50,
  mostOfOne: 50,
};

export const ownerLimits: SessionLimits = {
  idle: 10 * MINUTE,
  absolute: 60 * MINUTE,
  most: 1000,
  mostOfOne: 3,
};

/** A browser in which somebody has signed in. */
export interface Session {
  /** A mailbox's address, or `operator`. */
  subject: string;
  began: number;
  seen: number;
  /** It depends on the password at the sign-in: with another password, the session is over. */
  proof: string;
  /** The result of the last action, until it is shown. */
  notice?: string | undefined;
}

/** Sessions in this process's memory, by the SHA-256 of the cookie. The most recently used comes last. */
export class Sessions {
  readonly #byHash = new Map<string, Session>();
  readonly #limits: SessionLimits;

  constructor(limits: SessionLimits) {
    this.#limits = limits;
  }

  /** @returns the cookie's value */
  begin(subject: string, proof: string, now: number): string {
    const secret = newSecret();
    this.#byHash.set(hash("sha256", secret), { subject, proof, began: now, seen: now });
    const { most, mostOfOne } = this.#limits;
    const [oldest = ""] = this.#byHash.keys();
    if (this.#byHash.size > most) this.#byHash.delete(oldest);
    const own = [...this.#byHash].filter(([, session]) => session.subject === subject);
    if (own.length > mostOfOne) this.#byHash.delete(own[0]?.[0] ?? "");
    return secret;
  }

  /** The session, whose proof the caller compares. */
  find(secret: string, now: number): Session | undefined {
    const key = hash("sha256", secret);
    const session = this.#byHash.get(key);
    if (session === undefined) return undefined;
    this.#byHash.delete(key);
    const { idle, absolute } = this.#limits;
    if (!isWithin(now - session.seen, idle) || !isWithin(now - session.began, absolute)) return undefined;
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
