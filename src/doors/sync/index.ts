import type { FastifyInstance, FastifyRequest } from "fastify";
import type { PollingNode } from "../../../db/store.ts";
import { Changes } from "./changes.ts";
import type { SyncDoor } from "./door.ts";
import { sendKey } from "./key.ts";
import { sendMaps } from "./maps.ts";
import { authenticateNode, endOldKey } from "./node.ts";
import { receiveReport } from "./report.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** Who posts; set on the routes that take a body. */
    node: PollingNode;
  }
}

/** Mounts the nodes' own routes. A sync key opens these and nothing else, and nothing else opens these. */
export async function mountSync(
  scope: FastifyInstance,
  parts: Omit<SyncDoor, "changes" | "open">,
): Promise<void> {
  let open = true;
  const door: SyncDoor = { ...parts, changes: new Changes(parts.store.polls), open: () => open };
  scope.addHook("preClose", (done) => {
    open = false;
    void door.changes.wakeAll();
    done();
  });
  scope.decorateRequest("node");
  // Before the body is read: who has no key learns nothing of what a report looks like.
  const authenticate = async (request: FastifyRequest) => {
    request.node = authenticateNode(door, await door.store.polls.look(), request);
    await endOldKey(door, request.node);
  };
  scope.get("/sync/v1/maps", (request, reply) => sendMaps(door, request, reply));
  scope.post("/sync/v1/report", { onRequest: authenticate }, (request, reply) =>
    receiveReport(door, request, reply),
  );
  scope.post("/sync/v1/key", { onRequest: authenticate }, (request, reply) => sendKey(door, request, reply));
}
