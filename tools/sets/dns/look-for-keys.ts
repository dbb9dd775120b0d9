import type { UnseenKey } from "../../../db/nodes/dkim-keys.ts";
import type { Store } from "../../../db/store.ts";
import { isPublished } from "../../../src/dns/dkim-record.ts";

/** Keys looked for at once. */
const AT_ONCE = 8;

/** ms between two looks for a key: a quarter of its age, within these bounds. */
const SOONEST = 60_000;
const LATEST = 3_600_000;

/**
 * Looks in DNS for the records of DKIM keys that no node signs with yet. A key that was seen once stays seen: a node that signs
 * goes on, whatever DNS says later.
 */
export async function lookForKeys(
  store: Pick<Store, "write">,
  due: readonly UnseenKey[],
  now: Date,
  options: { nameServer?: string | undefined; stop: AbortSignal },
): Promise<void> {
  const at = now.toISOString();
  for (let first = 0; first < due.length; first += AT_ONCE) {
    const some = due.slice(first, first + AT_ONCE);
    const found = await Promise.all(some.map((key) => isPublished(key.domain, key, options)));
    if (options.stop.aborted) return;
    await store.write(async ({ dkimKeys }) => {
      for (const [index, key] of some.entries()) {
        if (found[index] === true) await dkimKeys.noteSeen(key.id, at);
        else await dkimKeys.lookAgain(key.id, nextLook(key, now));
      }
    });
  }
}

function nextLook({ reportedAt }: UnseenKey, now: Date): string {
  const age = now.getTime() - Date.parse(reportedAt);
  return new Date(now.getTime() + Math.min(Math.max(age / 4, SOONEST), LATEST)).toISOString();
}
