import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Log } from "../../log/log.ts";
import { type Networks, plainAddress } from "../../mail/network.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The client's address, as plainAddress writes it: see `clientAddress`. */
    clientAddress: string;
  }
}

/**
 * The address of a request's client. Each proxy appends its caller's address to X-Forwarded-For. Read it from the right,
 * and only as far as the hops are trusted proxies: anybody may have written the rest.
 *
 * @param peer the connection's other end
 * @param forwardedFor the X-Forwarded-For header
 */
export function clientAddress(peer: string, forwardedFor: string | undefined, trusted: Networks): string {
  let address = plainAddress(peer) ?? "";
  const hops = forwardedFor?.split(",") ?? [];
  while (hops.length > 0 && trusted.has(address)) {
    const named = plainAddress(hops.pop()?.trim() ?? "");
    if (named === undefined) break;
    address = named;
  }
  return address;
}

/**
 * Sets `request.clientAddress`, the only address of a client that the server uses.
 *
 * @returns a function that sets it for a request that reaches no hook
 */
export function noteClientAddresses(
  app: FastifyInstance,
  trusted: Networks,
  log: Log,
): (request: FastifyRequest) => void {
  let isWarned = false;
  const note = (request: FastifyRequest) => {
    const peer = request.socket.remoteAddress ?? "";
    // node:http joins repeated fields with commas, in their order.
    const forwardedFor = request.headers["x-forwarded-for"] as string | undefined;
    request.clientAddress = clientAddress(peer, forwardedFor, trusted);
    if (forwardedFor !== undefined && !isWarned && !trusted.has(plainAddress(peer) ?? "")) {
      isWarned = true; // once: anybody may send the field
      log.warn(
        `X-Forwarded-For came from ${request.clientAddress}, which is not trusted: if that is your proxy, give it with --trusted-proxies, or all its callers share one limit`,
      );
    }
  };
  app.decorateRequest("clientAddress", "");
  app.addHook("onRequest", (request, _reply, done) => {
    note(request);
    done();
  });
  return note;
}
