import type { Server } from "node:net";
import type { FastifyInstance } from "fastify";
import { type Networks, plainAddress, subscriberOf } from "../../mail/network.ts";

/**
 * Closes connections beyond `most` altogether, or beyond `mostOfOne` from one address. Trusted proxies carry all
 * their callers' connections, and must limit those themselves.
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

/** Closes the connection after an answer without a valid credential; else a few strangers could hold all connections. */
export function closeUnauthenticated(app: FastifyInstance): void {
  app.addHook("onSend", (request, reply, payload, done) => {
    if (request.principal === undefined && request.node === undefined) reply.header("connection", "close");
    done(null, payload);
  });
}

/** Largest body beyond the limit that is still read and thrown away, in bytes. */
const MOST_DRAINED = 1024 * 1024;

/**
 * Reads a body that is a little too large to its end before it answers 413. A client that is cut off while it sends may
 * never read the answer, and a proxy says 502 instead.
 */
export function drainLargeBodies(app: FastifyInstance): void {
  app.addHook("onSend", (request, reply, payload, done) => {
    const length = Number(request.headers["content-length"]);
    if (reply.statusCode === 413 && length <= MOST_DRAINED) reply.removeHeader("connection");
    done(null, payload);
  });
}
