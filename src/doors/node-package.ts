import type { FastifyInstance, FastifyReply } from "fastify";
import { NODE_PACKAGE } from "../../tools/nodes/join-step.ts";
import { builtNodePackage } from "../program/node-package.ts";

/**
 * Offers the node's Debian package and its checksum, without a credential: they hold nothing of this server's. The scope's
 * `onRequest` has counted the request.
 */
export function mountNodePackage(scope: FastifyInstance): void {
  const built = builtNodePackage();
  if (built === undefined) return;
  const name = NODE_PACKAGE.slice(NODE_PACKAGE.lastIndexOf("/") + 1);
  // A cache on the way must not keep the package of an older server, whose sum is another.
  const send = (reply: FastifyReply, type: string, content: string | Buffer) =>
    reply.header("cache-control", "no-cache").type(type).send(content);
  scope.get(NODE_PACKAGE, (_request, reply) =>
    send(reply, "application/vnd.debian.binary-package", built.content),
  );
  scope.get(`${NODE_PACKAGE}.sha256`, (_request, reply) =>
    send(reply, "text/plain; charset=utf-8", `${built.sum}  ${name}\n`),
  );
}
