import { join } from "node:path";
import { stateTag } from "../sync/answer.ts";
import type { Client } from "./client.ts";
import type { Config } from "./config.ts";
import type { Host } from "./host.ts";
import { describePlan, planUpdate, summarize } from "./plan.ts";
import { readSnapshot } from "./snapshot-file.ts";
import { inspect, names } from "./state.ts";

const PIECE = 1 << 16;

/**
 * Asks the server, and prints what a poll would do. Writes nothing, takes no lock, reports nothing.
 *
 * @throws like fetchMaps
 */
export async function dryRun(host: Host, config: Config, client: Client, key: string): Promise<void> {
  const { files, identity } = host;
  const { pending, damaged, snapshot } = await inspect(config.out, {
    files,
    identity,
    mailRoot: config.mailRoot,
  });
  const inService = snapshot ? await readSnapshot(files, join(config.out, names.snapshot)) : undefined;
  const unfinished = pending ? await readSnapshot(files, join(config.out, names.pending)) : undefined;
  const at = unfinished ?? inService;
  const target = (await client.fetchMaps(key, at && stateTag(at))) ?? at;
  if (target === undefined) return;

  const before = [inService, unfinished].filter((state) => state !== undefined);
  const plan = planUpdate(before, target);
  const from = inService === undefined ? "no state" : `revision ${inService.revision}`;
  host.print(`from ${from} to revision ${target.revision}: ${summarize(plan)}\n`);
  if (unfinished !== undefined) host.print(`an update to revision ${unfinished.revision} was cut short\n`);
  if (inService !== undefined && damaged.size > 0) host.print(`make anew: ${[...damaged].join(", ")}\n`);
  let piece = "";
  for (const line of describePlan(plan)) {
    piece += `${line}\n`;
    if (piece.length < PIECE) continue;
    host.print(piece);
    piece = "";
  }
  if (piece !== "") host.print(piece);
}
