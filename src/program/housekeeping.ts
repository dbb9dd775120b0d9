import type { Store } from "../../db/store.ts";
import type { Runtime } from "../../tools/call/call.ts";
import { type Log, logFailure } from "../log/log.ts";
import { RepeatedTask } from "./repeated-task.ts";
import { purgeInactive } from "./retention.ts";

/** How long removals are remembered, in ms: a node that was away no longer than that still gets a delta. */
const REMOVALS_KEPT = 30 * 86_400_000;
const EVERY = 3_600_000;

/**
 * Deletes records that are past their time, in batches, at once and then each hour. When it is stopped, the current batch ends,
 * and the next start does the rest.
 *
 * @param purgeAfter the days after which inactive mailboxes go; undefined for never
 */
export function startHousekeeping(
  runtime: Pick<Runtime, "store" | "now">,
  log: Log,
  isClockPlausible: () => boolean,
  purgeAfter: number | undefined,
): RepeatedTask {
  const task = new RepeatedTask(EVERY, async (stop) => {
    const isPlausible = isClockPlausible();
    await forgetOld(runtime, log, isPlausible, stop);
    if (isPlausible && purgeAfter !== undefined) await purgeInactive(runtime, log, purgeAfter, stop);
  });
  task.begin();
  return task;
}

/** Deletes removals, audit entries, ended keys and password links that are past their time. */
async function forgetOld(
  { store, now }: Pick<Runtime, "store" | "now">,
  log: Log,
  isClockPlausible: boolean,
  stop: AbortSignal,
): Promise<void> {
  const before = new Date(now().getTime() - REMOVALS_KEPT).toISOString();
  const inBatches = (batch: Parameters<Store["writeInBatches"]>[0]) => store.writeInBatches(batch, stop);
  try {
    await inBatches(({ state }) => state.forgetBefore(before));
    if (!isClockPlausible) return;
    await inBatches(({ audit }) => audit.forget(now()));
    await inBatches(({ endedKeys }) => endedKeys.forget(now()));
    await inBatches(({ dkimKeys }) => dkimKeys.forget(now()));
    await inBatches(({ passwordLinks }) => passwordLinks.forget(now()));
  } catch (error) {
    logFailure(log, "old removals, audit entries, keys and links could not be deleted", error);
  }
}
