import type { FastifyInstance, FastifyRequest } from "fastify";
import type { PollingNode } from "../../../db/store.ts";
import type { Log } from "../../log/log.ts";
import { PREFIX, paths } from "../../sync/wire.ts";
import type { AnswerNotFound } from "../http/not-found.ts";
import { Comparisons } from "./comparisons.ts";
import { exchangeDkim } from "./dkim.ts";
import type { SyncDoor } from "./door.ts";
import { EndedKeyUses } from "./ended-keys.ts";
import { sendKey } from "./key.ts";
import { LongPolls } from "./long-polls.ts";
import { sendMaps } from "./maps.ts";
import { authenticateNode, endOldKey } from "./node.ts";
import { NodeLimits } from "./node-limits.ts";
import { receiveReport } from "./report.ts";
import { receiveUsage } from "./usage.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The calling node; set as soon as it is known. */
    node: PollingNode;
  }
}

/** Mounts the nodes' own routes. Only a sync key opens them, and it opens nothing else. */
export async function mountSync(
  scope: FastifyInstance,
  parts: Omit<SyncDoor, "open" | "limits" | "longPolls" | "comparisons" | "endedKeyUses">,
  log: Log,
  answerNotFound: AnswerNotFound,
): Promise<void> {
  let open = true;
  const door: SyncDoor = {
    ...parts,
    limits: new NodeLimits(),
    longPolls: new LongPolls(),
    comparisons: new Comparisons(),
    endedKeyUses: new EndedKeyUses(parts.store, log),
    open: () => open,
  };
  scope.addHook("preClose", (done) => {
    open = false;
    void door.changes.wakeAll();
    done();
  });
  scope.decorateRequest("node");
  // Runs before the body is read, so that a caller without a key learns nothing about reports.
  const authenticate = async (request: FastifyRequest) => {
    await authenticateNode(door, await door.store.polls.look(), request);
    await endOldKey(door, request);
  };
  scope.get(paths.maps, (request, reply) => sendMaps(door, request, reply));
  scope.post(paths.report, { onRequest: authenticate }, (request, reply) =>
    receiveReport(door, request, reply),
  );
  scope.post(paths.dkim, { onRequest: authenticate }, (request, reply) => exchangeDkim(door, request, reply));
  scope.post(paths.usage, { onRequest: authenticate }, (request, reply) =>
    receiveUsage(door, request, reply),
  );
  scope.post(paths.key, { onRequest: authenticate }, (request, reply) => sendKey(door, request, reply));
  await scope.register(
    async (beside) => {
      beside.addHook("onRequest", authenticate);
      answerNotFound(beside);
    },
    { prefix: PREFIX },
  );
}
