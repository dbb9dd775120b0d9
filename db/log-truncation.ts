import { statSync } from "node:fs";

/** How often the write-ahead log is emptied; and when it is tried again after somebody was in the way. In ms. */
const EVERY = 30_000;
const AGAIN = 1_000;

/**
 * Empties the write-ahead log from time to time. What was deleted is overwritten in the database (secure_delete), but
 * the log keeps the pages as they were until something else happens to be written over them. By the clock and not
 * by the deletion: another process, a command that has ended since, may have made it.
 *
 * @param truncate one attempt; false when a reader or writer is in the way
 * @returns stops it
 */
export function truncateLogRegularly(path: string, truncate: () => Promise<boolean>): () => void {
  let timer = setTimeout(turn, EVERY).unref();
  let stopped = false;
  async function turn(): Promise<void> {
    const isEmpty = (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) === 0;
    const done = isEmpty || (await truncate().catch(() => false)); // a full disk passes, or is told by every write
    if (!stopped) timer = setTimeout(turn, done ? EVERY : AGAIN).unref();
  }
  return () => {
    stopped = true;
    clearTimeout(timer);
  };
}
