import type { Runtime } from "../../tools/call/call.ts";
import { type Log, logFailure } from "../log/log.ts";
import { RepeatedTask } from "./repeated-task.ts";

/** ms between two questions whether a key is due: an index answers. */
const EVERY = 5_000;
/** Keys looked for in one run. */
const MOST = 40;

/** Looks in DNS for the records of the nodes' DKIM keys, while the server runs. */
export function startDkimLooks(runtime: Runtime, log: Log): RepeatedTask {
  return new RepeatedTask(EVERY, (stop) => look(runtime, log, stop));
}

async function look({ store, now, settings }: Runtime, log: Log, stop: AbortSignal): Promise<void> {
  try {
    const due = await store.read(({ dkimKeys }) => dkimKeys.unseen(now().toISOString(), MOST));
    if (due.length === 0) return;
    // DNS is loaded only where a node signs.
    const { lookForKeys } = await import("../../tools/sets/dns/look-for-keys.ts");
    await lookForKeys(store, due, now(), { nameServer: settings?.nameServer, stop });
  } catch (error) {
    logFailure(log, "DKIM keys could not be looked for in DNS", error);
  }
}
