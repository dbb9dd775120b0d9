import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Log } from "../../log/log.ts";
import { type Networks, plainAddress } from "../../mail/network.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Where the request comes from, as plainAddress writes it: see `clientAddress`. */
    clientAddress: string;
  }
}

/**
 * The address of whoever made a request. X-Forwarded-For is a list to which each proxy appends whom it was called by;
 * what stands left of the first hop that is no trusted proxy, or no address, anybody may have written.
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
 * Sets `request.clientAddress`, which is all that the server knows of where a request comes from.
 *
 * @returns does so for a request that comes to no hook
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
        `X-Forwarded-For came from ${request.clientAddress}, which is not trusted: if that is your proxy, give it with --trusted-proxies, or all who come through it share one limit`,
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
