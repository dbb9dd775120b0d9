import type { FastifyReply, FastifyRequest } from "fastify";
import { newCredential } from "../../../tools/call/credential.ts";
import { keyEnd } from "../../../tools/nodes/key-rotation.ts";
import type { SyncDoor } from "./door.ts";
import { byNode } from "./node.ts";

/** Gives the node a new key. The old key ends when the new one is first used, or a day later. */
export async function sendKey(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { node } = request;
  door.limits.key(node);
  const key = newCredential("syncKey");
  const now = door.now();
  const at = now.toISOString();
  const end = await door.store.write(async (tables) => {
    const keyEnds = await tables.nodes.exchangeKey(node, key, keyEnd(now), at);
    const call = { tool: "rotate-key", arguments: { name: node.name } };
    await tables.audit.append({ ...byNode(request), at, ...call });
    return keyEnds;
  });
  return reply.header("cache-control", "no-store").send({ sync_key: key.text, old_key_ends_at: end });
}
