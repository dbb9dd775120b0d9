import type { FastifyInstance, FastifyRequest } from "fastify";
import { isAccessToken, isCredential } from "../../../tools/call/credential.ts";
import { LeakyBuckets } from "../../../tools/call/leaky-buckets.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import { subscriberOf } from "../../mail/network.ts";

/** Wrong credentials from one address that are answered at once; each further one doubles the delay. */
const AT_ONCE = 20;
/** In ms. Secrets have 256 bits, so this only slows programs that try again and again. */
const FIRST_DELAY = 10;
const LONGEST_DELAY = 1_000;
const FORGOTTEN_PER_MINUTE = 60;

/**
 * Delays the 401 to a wrong credential, longer after each one from the same address. Nobody is locked out: a valid
 * credential is answered at once, whatever others behind the same address do. Text that does not look like a
 * credential does not count as a guess.
 */
export function delayWrongCredentials(app: FastifyInstance): void {
  const failures = new LeakyBuckets(FORGOTTEN_PER_MINUTE);
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
