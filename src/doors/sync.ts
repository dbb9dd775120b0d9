import { pipeline } from "node:stream";
import { createBrotliDecompress } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { PollingNode, PollView, Store } from "../../db/store.ts";
import { credentialId, credentialMatches } from "../../tools/credential.ts";
import { bearerCredential } from "../auth/bearer.ts";
import type { LastSeen } from "../auth/last-seen.ts";
import { MailError } from "../mail/error.ts";
import { inNetwork } from "../mail/network.ts";
import type { Publisher } from "../sync/publisher.ts";
import { type Report, reportReasons, reportStatuses } from "../sync/report.ts";
import { stateTag } from "../sync/snapshot.ts";
import { sendProblem, unauthorized } from "./http/problem.ts";

const Count = z.int().min(0);

/** What a node may say of itself: numbers and words of ours only, for a model reads them in list_nodes. */
const ReportBody: z.ZodType<Report> = z
  .strictObject({
    revision: Count,
    history: z.string().regex(/^([0-9a-f]{32})?$/),
    digest: z.string().regex(/^([0-9a-f]{64})?$/),
    counts: z.strictObject({ domains: Count, users: Count }),
    status: z.enum(reportStatuses),
    reason: z.enum(reportReasons).nullable(),
    version: z.string().regex(/^[0-9A-Za-z.+-]{1,40}$/),
  })
  .refine((report) => (report.status === "applied") === (report.reason === null));

declare module "fastify" {
  interface FastifyRequest {
    /** Who reports; set on the report's route. */
    node: PollingNode;
  }
}

export interface SyncDoor {
  store: Store;
  publisher: Publisher;
  lastSeen: LastSeen;
  now(): Date;
}

/** Mounts the nodes' own routes. A sync key opens these and nothing else, and nothing else opens these. */
export async function mountSync(scope: FastifyInstance, door: SyncDoor): Promise<void> {
  scope.decorateRequest("node");
  scope.get("/sync/v1/maps", (request, reply) => sendMaps(door, request, reply));
  // Before the body is read: who has no key learns nothing of what a report looks like.
  const authenticate = async (request: FastifyRequest, reply: FastifyReply) => {
    const node = authenticateNode(door, await door.store.polls.look(), request, reply);
    if (node === undefined) return reply;
    request.node = node;
    return undefined;
  };
  scope.post("/sync/v1/report", { onRequest: authenticate }, (request, reply) =>
    receiveReport(door, request, reply),
  );
}

async function sendMaps(door: SyncDoor, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const polls = await door.store.polls.look();
  if (authenticateNode(door, polls, request, reply) === undefined) return reply;
  const state = polls.state();
  const etag = stateTag(state);
  reply.header("cache-control", "no-store");
  if (request.headers["if-none-match"] === etag) return reply.code(304).header("etag", etag).send();
  const maps = await door.publisher.publish(state.revision);
  reply.header("etag", maps.etag).header("vary", "accept-encoding").type("application/x-ndjson");
  if (acceptsBrotli(request.headers["accept-encoding"])) {
    return reply.header("content-encoding", "br").header("content-length", maps.size).send(maps.body);
  }
  // pipeline, unlike pipe, also ends the reading when the node hangs up; what it tells is told to `send` too.
  return reply.send(pipeline(maps.body, createBrotliDecompress(), () => {}));
}

async function receiveReport(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const report = ReportBody.safeParse(request.body);
  if (!report.success) {
    return sendProblem(
      reply,
      new MailError("invalid_input", "This is not a report.", "See the description of the sync protocol."),
    );
  }
  const state = door.store.polls.state();
  if (report.data.history === state.history && report.data.revision > state.revision) {
    return sendProblem(
      reply,
      new MailError(
        "invalid_input",
        "The reported revision is beyond the server's.",
        "Poll again, then report what was applied.",
      ),
    );
  }
  await door.store.write((tables) =>
    tables.nodes.recordReport(request.node.id, report.data, door.now().toISOString()),
  );
  return reply.code(204).send();
}

/** The node that asks; undefined when the answer, 401 or 403, is given. */
function authenticateNode(
  door: SyncDoor,
  polls: PollView,
  request: FastifyRequest,
  reply: FastifyReply,
): PollingNode | undefined {
  const key = bearerCredential(request.headers.authorization);
  const id = credentialId("syncKey", key);
  const node = id === undefined ? undefined : polls.node(id);
  if (node === undefined || !credentialMatches(key, node.keyHash)) {
    sendProblem(
      reply,
      unauthorized(
        "This is no valid sync key.",
        "Register the node with m25_mail_add_node and put its sync key into the node's key file.",
      ),
    );
    return undefined;
  }
  if (node.ipAddress !== null && !inNetwork(request.socket.remoteAddress ?? "", node.ipAddress)) {
    sendProblem(
      reply,
      new MailError(
        "forbidden",
        "This sync key may not be used from this address.",
        "The operator registered another ip_address for this node.",
      ),
    );
    return undefined;
  }
  door.lastSeen.node(node.id, door.now());
  return node;
}

/** RFC 9110 12.5.3, as far as one coding needs it. */
function acceptsBrotli(header: string | string[] | undefined): boolean {
  return /(?:^|,)\s*br\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(String(header ?? ""));
}
