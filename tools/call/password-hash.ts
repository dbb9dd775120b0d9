import { availableParallelism } from "node:os";
import { FairQueue } from "./fair-queue.ts";

/**
 * Hashes of one principal at a time. One core stays free for the event loop: on two cores, two hashes double the time that
 * everyone else waits. More than two starve libuv's pool: files and DNS then wait for hashes.
 */
const OF_ONE = Math.max(1, Math.min(2, availableParallelism() - 1));
/** One more of all principals together, so that a second principal does not wait for the hash under way. */
const OF_ALL = OF_ONE + 1;
/** Waiting hashes of one principal. At cost 10, the last of them waits two to five seconds. */
const MOST_WAITING = 64;

/** The prefix of the hashes that this program makes. */
export const BCRYPT_SCHEME = "{BLF-CRYPT}";

/**
 * Whether a password matches a stored hash. Every answer takes the same time.
 *
 * @param hash `{BLF-CRYPT}$2b$…`, or undefined if there is none: then the answer is no
 * @param cost bcrypt's, used if there is no hash
 */
export async function passwordMatches(
  password: string,
  hash: string | undefined,
  cost: number,
): Promise<boolean> {
  const { default: bcrypt } = await import("bcrypt");
  const nobodys = `$2b$${cost}$${"abcdefghijklmnopqrstuu"}${"u".repeat(31)}`;
  const matches = await bcrypt.compare(password, hash?.slice(BCRYPT_SCHEME.length) ?? nobodys);
  return matches && hash !== undefined;
}

/** Hashes passwords, a few at a time; the others wait, each principal's in a queue of its own. */
export class PasswordHasher {
  readonly #cost: number;
  readonly #queue = new FairQueue({
    perKey: OF_ONE,
    total: OF_ALL,
    waiting: MOST_WAITING,
    what: "passwords are being set",
  });

  /** @param cost bcrypt's, 10 to 14: nodes pay it at each login */
  constructor(cost: number) {
    this.#cost = cost;
  }

  /**
   * @param password as parsePassword returned it
   * @param principal the name of the caller that sets it
   * @returns `{BLF-CRYPT}$2b$…`, as Dovecot reads it
   * @throws MailError busy if too many passwords of this principal wait already
   */
  hash(password: string, principal = ""): Promise<string> {
    return this.#queue.run(principal, async () => {
      const { default: bcrypt } = await import("bcrypt"); // native code, which most starts never need
      return `${BCRYPT_SCHEME}${await bcrypt.hash(password, this.#cost)}`;
    });
  }
}
