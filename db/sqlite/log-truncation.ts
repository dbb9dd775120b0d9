import { statSync } from "node:fs";

/** ms between truncations of the write-ahead log, and until the next attempt after a busy one. */
const EVERY = 30_000;
const AGAIN = 1_000;

/**
 * Truncates the write-ahead log at intervals. secure_delete overwrites deleted rows in the database, but the log keeps
 * the old pages until later writes replace them. The clock triggers it, not the deletion, because another process may
 * have made the deletion and ended since.
 *
 * @param truncate one attempt; false when a reader or writer holds the log
 * @returns stops the truncations
 */
export function truncateLogRegularly(path: string, truncate: () => Promise<boolean>): () => void {
  let timer = setTimeout(turn, EVERY).unref();
  let stopped = false;
  async function turn(): Promise<void> {
    const isEmpty = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0;
    const done = isEmpty || (await truncate().catch(() => false)); // every write reports a full disk
    if (!stopped) timer = setTimeout(turn, done ? EVERY : AGAIN).unref();
  }
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
