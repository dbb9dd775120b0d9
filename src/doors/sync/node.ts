import type { FastifyRequest } from "fastify";
import type { PollingNode, PollView } from "../../../db/store.ts";
import { credentialId, credentialMatches } from "../../../tools/call/credential.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import { MailError } from "../../mail/error.ts";
import { Networks } from "../../mail/network.ts";
import { operator, text } from "../../mail/text.ts";
import type { SyncDoor } from "./door.ts";

/**
 * The calling node.
 *
 * @throws MailError unauthorized: no such key; forbidden: not from this address
 */
export async function authenticateNode(
  door: SyncDoor,
  polls: PollView,
  request: FastifyRequest,
): Promise<PollingNode> {
  const key = bearerCredential(request.headers.authorization);
  const id = credentialId("syncKey", key);
  const node = id === undefined ? undefined : await polls.node(id);
  const ended = id === undefined || node !== undefined ? undefined : await polls.endedKey(id);
  const now = door.now();
  const isRight = credentialMatches(key, node?.keyHash ?? ended?.hash);
  // Only keys that their successor's first use has ended are reported. A key that merely expired is not: the node may not
  // have received the successor.
  if (isRight && ended !== undefined) door.endedKeyUses.note(ended, request, now);
  if (!isRight || node === undefined || hasEnded(node, now)) {
    throw new MailError(
      "unauthorized",
      "This is not a valid sync key.",
      text`Register the node (${operator("node add NAME")}) and put its sync key into the node's key file.`,
    );
  }
  if (node.ipAddress !== null && !new Networks([node.ipAddress]).has(request.clientAddress)) {
    door.lastSeen.refusedNode(node.id, request.clientAddress, now);
    throw new MailError(
      "forbidden",
      "This sync key may not be used from this address.",
      "The operator registered another ip_address for this node: m25-mail node set NAME --ip CIDR changes it.",
    );
  }
  door.lastSeen.node(node.id, request.clientAddress, now);
  request.node = node;
  return node;
}

/** The audit log's fields for the calling node and its request. */
export function byNode({ node, clientAddress, id }: FastifyRequest) {
  return { principal: `node ${node.name}`, door: "sync", address: clientAddress, request: id };
}

/** The first use of a new key ends the old one. */
export async function endOldKey(door: SyncDoor, request: FastifyRequest): Promise<void> {
  const { node } = request;
  if (!node.keyIsNext) return;
  const at = door.now().toISOString();
  await door.store.write(async (tables) => {
    // Several requests with the new key may arrive before the first has ended the old one.
    if (!(await tables.nodes.promoteKey(node.id, node.keyHash, at))) return;
    const call = { tool: "end-old-key", arguments: { name: node.name } };
    await tables.audit.append({ ...byNode(request), at, ...call });
  });
}

function hasEnded({ keyExpiresAt }: PollingNode, now: Date): boolean {
  return keyExpiresAt !== null && Date.parse(keyExpiresAt) <= now.getTime();
}
