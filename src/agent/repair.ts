import { join } from "node:path";
import type { MailState } from "../sync/answer.ts";
import { stateTag } from "../sync/snapshot.ts";
import { applyUpdate, type Workplace } from "./apply.ts";
import { explain } from "./faults.ts";
import { readSnapshot } from "./snapshot-file.ts";
import { isState, type NodeState, names, type Situation } from "./state.ts";

/** Where a poll starts from. */
export interface Start {
  /** What state.json says. */
  recorded: NodeState | undefined;
  /** The ETag of the state that this node has, in service or at hand; undefined when it has none. */
  tag: string | undefined;
  /** The states whose files may be in service; empty when nothing is known of them. */
  before(): Promise<MailState[]>;
  /** Why what is wrong with the files could not be set right. */
  fault?: unknown;
}

/**
 * Sets right what an earlier run left unfinished and what somebody changed, from the states kept in DIR and
 * so without the server. An update that was cut short is finished: its users may have been seen by Postfix.
 */
export async function repair(place: Workplace, situation: Situation): Promise<Start> {
  const { host, config } = place;
  const { recorded, damaged } = situation;
  const at = (name: string): string => join(config.out, name);
  const nothing: Start = { recorded, tag: undefined, before: async () => [] };

  if (!situation.pending && damaged.size === 0 && situation.rebuildable && recorded !== undefined) {
    const before = async (): Promise<MailState[]> => {
      const snapshot = await readSnapshot(host.files, at(names.snapshot));
      return snapshot === undefined ? [] : [snapshot];
    };
    return { recorded, tag: stateTag(recorded.applied), before };
  }

  const snapshot = situation.snapshot ? await readSnapshot(host.files, at(names.snapshot)) : undefined;
  if (situation.snapshot && snapshot === undefined) host.log(`warning: ${names.snapshot} is damaged`);
  const pending = situation.pending ? await readSnapshot(host.files, at(names.pending)) : undefined;
  if (situation.pending && pending === undefined) {
    host.log(`warning: ${names.pending} is damaged`);
    await host.files.remove(at(names.pending));
  }
  const target = pending ?? snapshot;
  if (target === undefined) return nothing;

  const complete = recorded !== undefined && isState(recorded.applied, target);
  const inService = complete ? target : snapshot;
  const before = inService === undefined ? [] : [inService];
  const words =
    pending !== undefined && !complete
      ? `finishing the update to revision ${target.revision} that was cut short`
      : damaged.size > 0
        ? `making anew what was not as it was written: ${[...damaged].join(", ")}`
        : `completing the record of revision ${target.revision}`;
  host.log(words);
  const tag = stateTag(target);
  try {
    const stored = pending === undefined ? "snapshot" : "pending";
    const { state } = await applyUpdate(place, { before, target, stored, found: situation });
    return { recorded: state, tag, before: async () => [target] };
  } catch (fault) {
    host.log(explain(fault));
    // Part of it may be in service now.
    return { recorded, tag, before: async () => [...new Set([...before, target])], fault };
  }
}
