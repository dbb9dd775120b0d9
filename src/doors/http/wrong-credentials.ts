import type { FastifyInstance, FastifyRequest } from "fastify";
import { isAccessToken, isCredential } from "../../../tools/credential.ts";
import { LeakyCounts } from "../../../tools/leaky-counts.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import { subscriberOf } from "../../mail/network.ts";

/** So many wrong credentials of one address are answered at once; then each doubles what the next waits. */
const AT_ONCE = 20;
/** In ms. Secrets have 256 bits, so this is no more than a brake on programs that try and try. */
const FIRST_DELAY = 10;
const LONGEST_DELAY = 1_000;
const FORGOTTEN_PER_MINUTE = 60;

/**
 * Holds back the 401 to a wrong credential, the longer the more of them came from the same address. Nobody is locked
 * out: a right one is answered at once, whatever others behind the same address do. What does not even look like a
 * credential is no guess at one.
 */
export function delayWrongCredentials(app: FastifyInstance): void {
  const failures = new LeakyCounts(FORGOTTEN_PER_MINUTE);
  app.addHook("onSend", (request, reply, payload, done) => {
    if (reply.statusCode !== 401 || !isGuess(request)) return done(null, payload);
    const beyond = failures.add(subscriberOf(request.clientAddress)) - AT_ONCE;
    const delay = beyond <= 0 ? 0 : Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** (beyond - 1));
    setTimeout(() => done(null, payload), delay);
  });
}

function isGuess({ headers }: FastifyRequest): boolean {
  const credential = bearerCredential(headers.authorization);
  return isCredential(credential) || isAccessToken(credential);
}
