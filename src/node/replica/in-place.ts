import { type FSWatcher, watch } from "node:fs";
import { explain } from "../faults.ts";
import { fileNames } from "./files.ts";
import { isInPlace, type Replica } from "./replica.ts";

/** Somebody has replaced, emptied or overwritten the files. */
export class FilesReplaced extends Error {}

/**
 * Waits with `work` while the files are in place. As soon as they are not, its signal is aborted with FilesReplaced: until the
 * daemons are told to open the present files, each answers from those that it has open.
 */
export async function whileInPlace<T>(
  replica: Replica,
  log: (line: string) => void,
  work: (replaced: AbortSignal) => Promise<T>,
): Promise<T> {
  const replaced = new AbortController();
  const look = async (): Promise<void> => {
    if (!(await isInPlace(replica).catch(() => false))) replaced.abort(new FilesReplaced());
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(replica.folder, (_, name) => {
      // Each mail that a user sends may be written there.
      if (name?.startsWith(fileNames.recipients) !== true) void look();
    });
    watcher.on("error", () => replaced.abort(new FilesReplaced()));
  } catch (error) {
    log(`warning: replaced files are only noticed at the next poll: ${explain(error)}`);
  }
  await look();
  try {
    return await work(replaced.signal);
  } finally {
    watcher?.close();
  }
}
