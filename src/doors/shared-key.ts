import { createHmac } from "node:crypto";
import type { Store } from "../../db/store.ts";

/**
 * A key that all servers on one database have, so that an answer may come to another server than asked for it.
 *
 * @param use each use has its own key
 */
export async function sharedKey({ polls }: Pick<Store, "polls">, use: string): Promise<Buffer> {
  const { cursorKey } = await polls.look();
  return createHmac("sha256", cursorKey).update(use).digest();
}
