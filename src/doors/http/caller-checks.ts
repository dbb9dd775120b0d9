import type { FastifyReply, FastifyRequest } from "fastify";
import type { Store } from "../../../db/store.ts";
import type { Runtime } from "../../../tools/call/call.ts";
import type { Principal } from "../../../tools/call/principal.ts";
import { RateLimit, tooMany } from "../../../tools/call/rate-limit.ts";
import { AccessTokens } from "../../auth/access-tokens.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import type { LastSeen } from "../../auth/last-seen.ts";
import type { OAuth } from "../../auth/oauth/index.ts";
import { subscriberOf } from "../../mail/network.ts";
import { noToken, sendProblem } from "./problem.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The caller; set on every route that takes an access token. */
    principal: Principal;
  }
}

interface CallerParts {
  runtime: Runtime;
  store: Store;
  lastSeen: LastSeen;
  oauth?: OAuth | undefined;
}

type Check = (request: FastifyRequest, reply: FastifyReply) => Promise<FastifyReply | undefined>;

interface CallerChecks {
  /** For the routes that need no credential. The other routes refuse a request without one cheaply. */
  limitAddress: Check;
  /** Sets `request.principal` by the access token, or answers 401. */
  authenticate(door: Principal["door"]): Check;
}

/** Hooks for routes. They answer a caller that is not known, or that calls too often. */
export function callerChecks(
  { runtime, store, lastSeen, oauth }: CallerParts,
  requestsPerMinute: number,
): CallerChecks {
  const accessTokens = new AccessTokens(store, lastSeen);
  const requests = new RateLimit(requestsPerMinute);
  const principalOf = async (credential: string, door: Principal["door"]) =>
    (await accessTokens.authenticate(credential, door, runtime.now())) ??
    (door === "mcp" ? await oauth?.authenticate(credential) : undefined);
  return {
    async limitAddress(request, reply) {
      const wait = requests.take(`address ${subscriberOf(request.clientAddress)}`);
      return wait > 0 ? sendProblem(reply, tooMany("requests", wait)) : undefined;
    },
    authenticate: (door) => async (request, reply) => {
      const credential = bearerCredential(request.headers.authorization);
      const principal = await principalOf(credential, door);
      if (principal === undefined) {
        if (door === "mcp" && oauth !== undefined) {
          reply.header("www-authenticate", oauth.challenge(credential !== ""));
        }
        return sendProblem(reply, noToken());
      }
      request.principal = principal;
      const wait = requests.take(`principal ${principal.name}`);
      if (wait > 0) return sendProblem(reply, tooMany("requests", wait));
      // Results show addresses, and a new node's key.
      reply.raw.setHeader("cache-control", "no-store");
      return undefined;
    },
  };
}
