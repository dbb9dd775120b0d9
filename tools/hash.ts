import { availableParallelism } from "node:os";
import { MailError } from "../src/mail/error.ts";

/**
 * More at once starve libuv's pool: files and DNS then wait for hashes, for hardly more hashes a second. And one
 * core stays free for the event loop: on two cores, two hashes double the time that everyone else waits.
 */
const IN_FLIGHT = Math.max(1, Math.min(2, availableParallelism() - 1));
/** Hashed or waiting. At cost 10 the last of these waits two to five seconds; who would wait longer is told so. */
const MAX_WANTED = 66;

const SCHEME = "{BLF-CRYPT}";

/**
 * Whether a password is the one of a stored hash, in the same time for every answer.
 *
 * @param hash `{BLF-CRYPT}$2b$…`, or undefined where there is none: then the answer is no, and takes as long
 * @param cost bcrypt's, of the hash that is not there
 */
export async function passwordMatches(
  password: string,
  hash: string | undefined,
  cost: number,
): Promise<boolean> {
  const { default: bcrypt } = await import("bcrypt");
  const nobodys = `$2b$${cost}$${"abcdefghijklmnopqrstuu"}${"u".repeat(31)}`;
  const matches = await bcrypt.compare(password, hash?.slice(SCHEME.length) ?? nobodys);
  return matches && hash !== undefined;
}

/** Hashes passwords, one or two at a time, the others waiting in line. */
export class PasswordHasher {
  readonly #cost: number;
  readonly #waiting: Array<() => void> = [];
  #running = 0;

  /** @param cost bcrypt's, 10 to 14: nodes pay it at each login */
  constructor(cost: number) {
    this.#cost = cost;
  }

  /**
   * @param password what parsePassword returned
   * @returns `{BLF-CRYPT}$2b$…`, as Dovecot reads it
   * @throws MailError busy when too many wait already
   */
  async hash(password: string): Promise<string> {
    if (this.#running >= IN_FLIGHT) {
      if (this.#running + this.#waiting.length >= MAX_WANTED) {
        throw new MailError(
          "busy",
          "Too many passwords are being set at once.",
          "Nothing was changed. Wait a few seconds, then try again.",
        );
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      const { default: bcrypt } = await import("bcrypt"); // native code, which most starts never need
      return `${SCHEME}${await bcrypt.hash(password, this.#cost)}`;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next(); // hands its place over
    }
  }
}
