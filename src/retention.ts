import type { Store } from "../db/store.ts";
import { call, type Runtime } from "../tools/call.ts";
import { operatorTools } from "../tools/operator/index.ts";
import type { Principal } from "../tools/principal.ts";
import type { Log } from "./log.ts";

const DAY = 86_400_000;
/** Mailboxes that are looked up at once; each is then purged in a transaction of its own. */
const PAGE = 500;

/** Who the audit log says purged a mailbox whose time was over. */
const retention: Principal = { name: "retention", door: "serve", scopes: new Set(["destroy"]) };

/** Removes for good the mailboxes that were soft-deleted more than `days` ago. What fails is tried at the next time. */
export async function purgeInactive(store: Store, runtime: Runtime, log: Log, days: number): Promise<void> {
  const before = new Date(runtime.now().getTime() - days * DAY).toISOString();
  const purged = await purgeAll(store, runtime, before).catch((error: unknown) => {
    log.error("inactive mailboxes could not be purged", error);
    return 0;
  });
  if (purged > 0) log.info(`purged ${purged} mailboxes that were soft-deleted more than ${days} days ago`);
}

async function purgeAll(store: Store, runtime: Runtime, before: string): Promise<number> {
  let purged = 0;
  for (;;) {
    const page = await store.read((tables) => tables.users.inactiveSince(before, PAGE));
    for (const { email } of page) {
      const outcome = await call(runtime, retention, operatorTools.purgeUser, { email });
      if (outcome.ok) purged += 1;
      // Re-activated or removed meanwhile: there is nothing to purge any more.
      else if (!["user_active", "user_not_found"].includes(outcome.error.code)) throw outcome.error;
    }
    if (page.length < PAGE) return purged;
  }
}
