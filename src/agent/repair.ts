import { join } from "node:path";
import { type MailState, stateTag } from "../sync/answer.ts";
import { applyUpdate, type Workplace } from "./apply.ts";
import type { Position } from "./client.ts";
import { explain } from "./faults.ts";
import { names } from "./folder.ts";
import { readKept } from "./kept-file.ts";
import { type Kept, servedOf } from "./losses.ts";
import { inspect, type Situation } from "./situation.ts";
import { isState, type NodeState } from "./state.ts";

/** Where a poll starts from. */
export interface Start {
  /** What state.json says. */
  recorded: NodeState | undefined;
  /** What this node has from the server, in service or at hand; undefined when it has nothing. */
  position: Position | undefined;
  /** The same, whole; undefined when it is lost. Read when it is first asked for. */
  kept(): Promise<Kept | undefined>;
  /** The states whose files may be in service; empty when nothing is known of them. */
  before(): Promise<MailState[]>;
  /** Why what is wrong with the files could not be set right. */
  fault?: unknown;
}

/**
 * Sets right what an earlier run left unfinished and what somebody changed, from what is kept in DIR and
 * so without the server. An update that was cut short is finished: its users may have been seen by Postfix.
 */
export async function repair(place: Workplace, situation: Situation): Promise<Start> {
  const { host, config } = place;
  const { recorded, damaged } = situation;
  const at = (name: string): string => join(config.out, name);

  if (!situation.pending && damaged.size === 0 && situation.rebuildable && recorded !== undefined) {
    const { applied, server } = recorded;
    const { history, revision } = applied;
    const tag = stateTag({ revision, digest: server.digest });
    let reading: Promise<Kept | undefined> | undefined;
    const kept = (): Promise<Kept | undefined> => {
      reading ??= readKept(host.files, at(names.snapshot));
      return reading;
    };
    const before = async (): Promise<MailState[]> => [await kept()].flatMap((one) => one ?? []).map(servedOf);
    return { recorded, position: { tag, cursor: server.cursor, history, revision }, kept, before };
  }

  const snapshot = situation.snapshot ? await readKept(host.files, at(names.snapshot)) : undefined;
  if (situation.snapshot && snapshot === undefined) host.log(`warning: ${names.snapshot} is damaged`);
  const pending = situation.pending ? await readKept(host.files, at(names.pending)) : undefined;
  if (situation.pending && pending === undefined) {
    host.log(`warning: ${names.pending} is damaged`);
    await host.files.remove(at(names.pending));
  }
  const target = pending ?? snapshot;
  if (target === undefined)
    return { recorded, position: undefined, kept: async () => undefined, before: async () => [] };

  const served = servedOf(target);
  const complete = recorded !== undefined && isState(recorded.applied, served);
  const inService = complete ? served : snapshot && servedOf(snapshot);
  const before = inService === undefined ? [] : [inService];
  const found = await inspect(config.out, { ...host, mailRoot: config.mailRoot }, served.role);
  const words =
    pending !== undefined && !complete
      ? `finishing the update to revision ${served.revision} that was cut short`
      : found.damaged.size > 0
        ? `making anew what was not as it was written: ${[...found.damaged].join(", ")}`
        : `completing the record of revision ${served.revision}`;
  host.log(words);
  const { history, revision, cursor } = target.server;
  const position: Position = { tag: stateTag(target.server), cursor, history, revision };
  const hours = {
    count: Math.max(recorded?.hours.count ?? 0, target.ledger.hour),
    at: recorded?.hours.at ?? new Date(host.clock.now()).toISOString(),
  };
  const stored = pending === undefined ? "snapshot" : "pending";
  const start = { position, kept: async () => target };
  try {
    const { state } = await applyUpdate(place, { before, target, stored, recorded, hours, found });
    return { ...start, recorded: state, before: async () => [served] };
  } catch (fault) {
    host.log(explain(fault));
    // Part of it may be in service now.
    return { ...start, recorded, before: async () => [...new Set([...before, served])], fault };
  }
}
