import type { Server } from "node:net";
import type { FastifyInstance } from "fastify";
import { type Networks, plainAddress, subscriberOf } from "../../mail/network.ts";

/**
 * Hangs up on connections beyond `most` altogether, or beyond `mostOfOne` from one address. Trusted proxies
 * have all their callers' connections, and are to limit those themselves.
 */
export function limitConnections(
  server: Server,
  { most, mostOfOne }: { most: number; mostOfOne: number },
  trusted: Networks,
): void {
  server.maxConnections = most;
  const open = new Map<string, number>();
  server.on("connection", (socket) => {
    const address = plainAddress(socket.remoteAddress ?? "") ?? "";
    if (trusted.has(address)) return;
    const caller = subscriberOf(address);
    const count = (open.get(caller) ?? 0) + 1;
    if (count > mostOfOne) {
      socket.destroy();
      return;
    }
    open.set(caller, count);
    socket.once("close", () => {
      const left = (open.get(caller) ?? 1) - 1;
      if (left === 0) open.delete(caller);
      else open.set(caller, left);
    });
  });
}

/** Whoever showed no valid credential keeps no connection: a few strangers could otherwise hold all there are. */
export function closeUnauthenticated(app: FastifyInstance): void {
  app.addHook("onSend", (request, reply, payload, done) => {
    if (request.principal === undefined && request.node === undefined) reply.header("connection", "close");
    done(null, payload);
  });
}

/** Bytes of a body that is over the limit which are read, and thrown away. */
const MOST_DRAINED = 1024 * 1024;

/**
 * Whoever is hung up on while still sending may never read why, and a proxy then says 502 in our place: a body that
 * is too large, but not much, is heard out.
 */
export function drainLargeBodies(app: FastifyInstance): void {
  app.addHook("onSend", (request, reply, payload, done) => {
    const length = Number(request.headers["content-length"]);
    if (reply.statusCode === 413 && length <= MOST_DRAINED) reply.removeHeader("connection");
    done(null, payload);
  });
}
