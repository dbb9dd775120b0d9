import { availableParallelism } from "node:os";
import { Turns } from "./turns.ts";

/**
 * More at once starve libuv's pool: files and DNS then wait for hashes, for hardly more hashes a second. And one
 * core stays free for the event loop: on two cores, two hashes double the time that everyone else waits.
 */
const IN_FLIGHT = Math.max(1, Math.min(2, availableParallelism() - 1));
/** Of one principal. Alone at cost 10, the last of these waits two to five seconds; whoever would wait longer is told so. */
const MOST_WAITING = 64;

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

/** Hashes passwords, one or two at a time; the others wait, each principal's in a line of its own. */
export class PasswordHasher {
  readonly #cost: number;
  readonly #turns = new Turns({
    ofOne: IN_FLIGHT,
    ofAll: IN_FLIGHT,
    line: MOST_WAITING,
    what: "passwords are being set",
  });

  /** @param cost bcrypt's, 10 to 14: nodes pay it at each login */
  constructor(cost: number) {
    this.#cost = cost;
  }

  /**
   * @param password what parsePassword returned
   * @param principal the name of the one who sets it
   * @returns `{BLF-CRYPT}$2b$…`, as Dovecot reads it
   * @throws MailError busy when too many of this principal wait already
   */
  hash(password: string, principal = ""): Promise<string> {
    return this.#turns.run(principal, async () => {
      const { default: bcrypt } = await import("bcrypt"); // native code, which most starts never need
      return `${SCHEME}${await bcrypt.hash(password, this.#cost)}`;
    });
  }
}
