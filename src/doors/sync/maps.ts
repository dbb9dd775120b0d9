import { randomInt } from "node:crypto";
import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { PollingNode } from "../../../db/store.ts";
import { credentialId } from "../../../tools/call/credential.ts";
import { bearerCredential } from "../../auth/bearer.ts";
import { MailError } from "../../mail/error.ts";
import { stateTag } from "../../sync/answer.ts";
import type { Position } from "../../sync/cursor.ts";
import type { Publication } from "../../sync/publisher.ts";
import { ACCEPTANCE_HEADER, KEY_HEADER } from "../../sync/wire.ts";
import type { SyncDoor } from "./door.ts";
import type { LongPoll } from "./long-polls.ts";
import { authenticateNode, byNode, endOldKey } from "./node.ts";
import type { AnswerPermit } from "./wake-throttle.ts";

/** The longest wait for a change, in seconds: below the minute after which proxies end idle requests. */
const MAX_WAIT = 55;

/** Seconds after which waiting nodes come back to a server that stops. */
const RETURN_AFTER = { least: 2, most: 8 };

/** GET /sync/v1/maps: answers 304, a delta or a snapshot, at once or as soon as there is news. */
export async function sendMaps(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const permit = door.changes.permit();
  try {
    return await answerPoll(door, request, reply, permit);
  } finally {
    permit.end();
  }
}

async function answerPoll(
  door: SyncDoor,
  request: FastifyRequest,
  reply: FastifyReply,
  permit: AnswerPermit,
): Promise<FastifyReply> {
  let polls = await door.store.polls.look();
  let node = await authenticateNode(door, polls, request);
  await endOldKey(door, request);
  let comparison = await door.comparisons.compare(request, polls, node);
  const wait = waitOf(request) * 1000;
  const deadline = performance.now() + wait;
  const told = request.headers[ACCEPTANCE_HEADER] ?? node.accepted;
  const hasNews = () => comparison.kind !== "current" || (node.accepted !== null && node.accepted !== told);
  // A node that is behind is not answered during the throttle's rest, so that it gets changes in a row together.
  const mayAnswer = () => hasNews() && (comparison.kind !== "behind" || permit.take());
  const waitForNews = async (waiting: LongPoll) => {
    reply.raw.once("close", () => waiting.end());
    while (!waiting.hasEnded && !reply.raw.destroyed) {
      const left = deadline - performance.now();
      if (left <= 0) break;
      if (!door.open()) refuseForNow(reply);
      if (mayAnswer()) break;
      await door.changes.wait(polls.version, left, permit, (leave) => waiting.leaves(leave));
      polls = await door.store.polls.look();
      node = await authenticateNode(door, polls, request);
      comparison = await door.comparisons.compare(request, polls, node);
    }
  };
  if (wait > 0) await door.longPolls.during(node.id, waitForNews);
  if (comparison.kind === "beyond") {
    // Somebody has replaced the database with an older copy by hand.
    await startHistory(door, request, comparison.position);
    polls = await door.store.polls.look();
    node = await authenticateNode(door, polls, request); // drops the acceptances of the former history
    comparison = { kind: "unknown" };
  }
  const state = await polls.state(node.view);
  reply.header("cache-control", "no-store").header(KEY_HEADER, keyIdOf(request));
  if (node.accepted !== null) reply.header(ACCEPTANCE_HEADER, node.accepted);
  if (comparison.kind === "current") return reply.code(304).header("etag", stateTag(state)).send();
  const since = comparison.kind === "behind" ? comparison.since : undefined;
  const encoding = acceptsBrotli(request.headers["accept-encoding"]) ? "br" : "identity";
  const maps = await door.publisher.publish(polls, node.view, encoding, since);
  limitMaps(door, node, maps);
  request.isRoutine = maps.kind === "delta";
  return send(maps, reply);
}

function keyIdOf(request: FastifyRequest): string | undefined {
  return credentialId("syncKey", bearerCredential(request.headers.authorization));
}

async function startHistory(
  door: SyncDoor,
  request: FastifyRequest,
  { history, revision, digest }: Position,
): Promise<void> {
  const at = door.now().toISOString();
  await door.store.write(async (tables) => {
    // Many nodes notice this at once; one new history is enough.
    if ((await tables.state.history()) !== history) return;
    // Another server may have made this state since the look.
    if (await tables.state.had(revision, digest)) return;
    await tables.state.startHistory(at);
    await tables.audit.append({ ...byNode(request), at, tool: "start-history", arguments: {} });
  });
}

/** @throws MailError busy */
function limitMaps(door: SyncDoor, node: PollingNode, maps: Publication): void {
  const { body } = maps;
  try {
    door.limits.maps(node, maps);
  } catch (error) {
    if (body instanceof Readable) body.destroy();
    throw error;
  }
}

/**
 * Refuses instead of answering 304: after a 304 all waiting nodes would come back before the server runs again, fail, and then
 * stay away for minutes.
 */
function refuseForNow(reply: FastifyReply): never {
  const { least, most } = RETURN_AFTER;
  reply.header("retry-after", randomInt(least, most + 1)).header("connection", "close");
  throw new MailError("unavailable", "The server is stopping.", "Poll again soon.", { temporary: true });
}

/** The Prefer header's wait (RFC 7240 4.3), in seconds. */
function waitOf(request: FastifyRequest): number {
  const match = /(?:^|,)\s*wait\s*=\s*"?(\d{1,4})"?\s*(?:[;,]|$)/i.exec(String(request.headers.prefer ?? ""));
  return Math.min(Number(match?.[1] ?? 0), MAX_WAIT);
}

function send({ etag, encoding, size, body }: Publication, reply: FastifyReply): FastifyReply {
  reply.header("etag", etag).header("vary", "accept-encoding").type("application/x-ndjson");
  if (encoding !== "identity") reply.header("content-encoding", encoding);
  return reply.header("content-length", size).send(body);
}

/** Reads RFC 9110 12.5.3, as far as one coding needs it. */
function acceptsBrotli(header: string | string[] | undefined): boolean {
  return /(?:^|,)\s*br\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)/i.test(String(header ?? ""));
}
