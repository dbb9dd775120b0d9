import { type FSWatcher, watch } from "node:fs";
import { explain } from "../faults.ts";
import { fileNames, stampsOf } from "./files.ts";
import { isInPlace, type Place, type Replica } from "./replica.ts";

/** Somebody has replaced or removed the files, or written to them. */
export class FilesReplaced extends Error {}

/**
 * Waits with `work`, which writes nothing, while the files are in place and nobody else writes to them. As soon as that ends, its signal
 * is aborted: until the daemons are told to open the present files, each answers from those that it has open.
 *
 * @throws FilesReplaced, errors of `work`
 */
export async function whileInPlace<T>(
  replica: Replica,
  log: (line: string) => void,
  work: (replaced: AbortSignal) => Promise<T>,
): Promise<T> {
  const replaced = new AbortController();
  const before = await stampsOf(replica.folder);
  let over = false;
  const look = async (): Promise<void> => {
    const inPlace = await isInPlace(replica).catch(() => false);
    const now = await stampsOf(replica.folder);
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
    const result = await work(replaced.signal);
    await look();
    replaced.signal.throwIfAborted();
    return result;
  } finally {
    over = true;
    watcher?.close();
  }
}

/** ms without a change after which files are taken to be at rest. */
const REST = 1000;

/** Waits until nobody is writing to the files any more: a restored folder is written file by file. */
export async function untilAtRest({ folder, machine }: Place): Promise<void> {
  const stamps = async () => [...(await stampsOf(folder)).values()].join();
  let before: string;
  do {
    before = await stamps();
    await machine.clock.sleep(REST);
  } while ((await stamps()) !== before);
}
