import type { FastifyInstance } from "fastify";
import { Changes } from "./changes.ts";
import type { SyncDoor } from "./door.ts";
import { sendKey } from "./key.ts";
import { sendMaps } from "./maps.ts";
import { receiveReport } from "./report.ts";

/** Mounts the nodes' own routes. A sync key opens these and nothing else, and nothing else opens these. */
export async function mountSync(
  scope: FastifyInstance,
  parts: Omit<SyncDoor, "changes" | "open">,
): Promise<void> {
  let open = true;
  const door: SyncDoor = { ...parts, changes: new Changes(parts.store.polls), open: () => open };
  scope.addHook("preClose", (done) => {
    open = false;
    door.changes.wakeAll();
    done();
  });
  scope.get("/sync/v1/maps", (request, reply) => sendMaps(door, request, reply));
  scope.post("/sync/v1/report", (request, reply) => receiveReport(door, request, reply));
  scope.post("/sync/v1/key", (request, reply) => sendKey(door, request, reply));
}
