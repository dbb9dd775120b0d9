import type { FastifyReply, FastifyRequest } from "fastify";
import { newCredential } from "../../../tools/credential.ts";
import { keyEnd } from "../../../tools/rotation.ts";
import type { SyncDoor } from "./door.ts";
import { endOldKey } from "./node.ts";

/** Gives the node a fresh key. The one it asked with ends when the fresh one is used, or at the latest a day later. */
export async function sendKey(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { node } = request;
  await endOldKey(door, node);
  const key = newCredential("syncKey");
  const expiresAt = keyEnd(door.now());
  await door.store.write((tables) => tables.nodes.addKey(node.name, key, expiresAt));
  return reply.header("cache-control", "no-store").send({ sync_key: key.text, old_key_ends_at: expiresAt });
}
