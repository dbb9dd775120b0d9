import { join } from "node:path";
import { stateTag } from "../sync/answer.ts";
import { refuseReturn } from "./asking.ts";
import type { Client } from "./client.ts";
import type { Config } from "./config.ts";
import { names } from "./folder.ts";
import type { Host } from "./host.ts";
import { readKept } from "./kept-file.ts";
import { DEFAULT_THRESHOLDS, servedOf, settle } from "./losses.ts";
import { describePlan, planUpdate, summarize } from "./plan.ts";
import { inspect } from "./situation.ts";
import { count } from "./words.ts";

const PIECE = 1 << 16;

/**
 * Asks the server, and prints what a poll would do. Writes nothing, takes no lock, reports nothing.
 *
 * @throws like fetchMaps
 */
export async function dryRun(host: Host, config: Config, client: Client, key: string): Promise<void> {
  const { files, identity } = host;
  const { pending, damaged, snapshot, recorded } = await inspect(config.out, {
    files,
    identity,
    mailRoot: config.mailRoot,
  });
  const applied = snapshot ? await readKept(files, join(config.out, names.snapshot)) : undefined;
  const begun = pending ? await readKept(files, join(config.out, names.pending)) : undefined;
  const kept = begun ?? applied;
  const position = kept && { ...kept.server, tag: stateTag(kept.server) };
  const answer = await client.fetchMaps(key, { position, base: async () => kept?.server });
  await refuseReturn(answer, { position, kept: async () => kept, recorded });
  const { state } = answer;
  const accepted = config.acceptLocally === true ? undefined : answer.accepted;
  const server = state ?? kept?.server;
  if (server === undefined) return;
  const hour = recorded?.hours.count ?? kept?.ledger.hour ?? 0;
  const thresholds = config.thresholds ?? DEFAULT_THRESHOLDS;
  const next = settle(kept, server, { hour, thresholds, accepted });
  const target = servedOf(next);

  const inService = applied && servedOf(applied);
  const unfinished = begun && servedOf(begun);
  const before = [inService, unfinished].filter((state) => state !== undefined);
  const plan = planUpdate(before, target);
  const from = inService === undefined ? "no state" : `revision ${inService.revision}`;
  host.print(`from ${from} to revision ${target.revision}: ${summarize(plan)}\n`);
  if (next.withheld.size > 0)
    host.print(`withheld: still in service: ${count(next.withheld.size, "user")}\n`);
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
