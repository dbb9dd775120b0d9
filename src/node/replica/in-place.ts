import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import { explain } from "../faults.ts";
import { fileNames, stampOf } from "./files.ts";
import { isInPlace, type Replica } from "./replica.ts";

/** Somebody has replaced, emptied or overwritten the files. */
export class FilesReplaced extends Error {}

/**
 * Waits with `work`, which writes nothing, while the files are in place and nobody else writes to them. As soon as that ends, its signal
 * is aborted with FilesReplaced: until the daemons are told to open the present files, each answers from those that it has open.
 */
export async function whileInPlace<T>(
  replica: Replica,
  log: (line: string) => void,
  work: (replaced: AbortSignal) => Promise<T>,
): Promise<T> {
  const replaced = new AbortController();
  const before = await stampsOf(replica);
  let over = false;
  const look = async (): Promise<void> => {
    const inPlace = await isInPlace(replica).catch(() => false);
    const now = await stampsOf(replica);
    // After the wait this program writes itself.
    if (over) return;
    const written = [...before.keys()].filter((name) => now.get(name) !== before.get(name));
    replica.written = [...new Set([...replica.written, ...written])];
    if (!inPlace || replica.written.length > 0) replaced.abort(new FilesReplaced());
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
    over = true;
    watcher?.close();
  }
}

/** The stamps of the open files and their -wal, by name. A -shm is written to by whoever reads. */
async function stampsOf({ folder, inodes }: Replica): Promise<Map<string, string>> {
  const stamps = new Map<string, string>();
  for (const name of inodes.keys())
    for (const one of [name, `${name}-wal`]) stamps.set(one, await stampOf(join(folder, one)));
  return stamps;
}
