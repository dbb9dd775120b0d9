import type { Store, Tables } from "../../db/store.ts";
import type { Runtime } from "../../tools/call/call.ts";
import { operatorTools } from "../../tools/operator/index.ts";
import { type Log, logFailure } from "../log/log.ts";

const DAY = 86_400_000;
/** Mailboxes that one transaction purges; other writers wait for it. */
const BATCH = 200;

/** A clock this far ahead of all times in the database is not trusted for deletions, in ms. */
const PLAUSIBLE = 30 * DAY;

/**
 * Watches for a clock that is far ahead, at the start or later: it would make everything look past its time. Call this
 * before anything is written with the present time.
 *
 * @returns a function that tells whether the clock is plausible; once false, false until restart
 */
export async function watchClock(store: Store, now: () => Date, log: Log): Promise<() => boolean> {
  let last = await store.read(lastSign);
  let isPlausible = true;
  return () => {
    const at = now().getTime();
    if (!isPlausible) return false;
    isPlausible = last === undefined || at - last <= PLAUSIBLE;
    if (isPlausible) last = at;
    else {
      log.warn(
        `nothing is deleted or purged, because the clock may be wrong: it says ${new Date(at).toISOString()}, and the last activity before was at ${new Date(last ?? at).toISOString()}. If the clock is wrong, stop the server and set it; if it is right, restart the server after a node or a client has called`,
      );
    }
    return isPlausible;
  };
}

/** The time of the last activity in the database, in ms since 1970: a change, or a call of a node or a client. */
async function lastSign({ audit, nodes, tokens }: Tables): Promise<number | undefined> {
  const signs = [await audit.lastAt(), await nodes.lastContact(), await tokens.lastUse()];
  const times = signs.filter((at) => at !== null).map((at) => Date.parse(at));
  return times.length === 0 ? undefined : Math.max(...times);
}

/** Removes for good the mailboxes that were soft-deleted more than `days` ago. The next run repeats a failed batch. */
export async function purgeInactive(
  { store, now }: Pick<Runtime, "store" | "now">,
  log: Log,
  days: number,
  stop: AbortSignal,
): Promise<void> {
  const at = now();
  const before = new Date(at.getTime() - days * DAY).toISOString();
  let purged = 0;
  try {
    await store.writeInBatches(async ({ users, audit }) => {
      const batch = await users.purge(before, BATCH);
      const entries = batch.map(({ email }) => ({
        at: at.toISOString(),
        principal: "retention",
        door: "serve",
        tool: operatorTools.purgeUser.endpoint,
        arguments: { email },
      }));
      if (entries.length > 0) await audit.append(...entries);
      purged += batch.length;
      return batch.length === BATCH;
    }, stop);
  } catch (error) {
    logFailure(log, "inactive mailboxes could not be purged", error);
  }
  if (purged > 0) log.info(`purged ${purged} mailboxes that were soft-deleted more than ${days} days ago`);
}
