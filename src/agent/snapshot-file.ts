import { type MailState, RefusedAnswer, SnapshotReader } from "../sync/snapshot.ts";
import { systemCode } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { LineSplitter } from "./lines.ts";

/**
 * Reads a state that this program wrote, and proves it as if a server had sent it.
 *
 * @returns undefined when there is none, or none that is whole
 */
export async function readSnapshot(files: FileSystem, path: string): Promise<MailState | undefined> {
  const reader = new SnapshotReader();
  const splitter = new LineSplitter((line) => reader.push(line), Number.POSITIVE_INFINITY);
  try {
    for await (const piece of files.readPieces(path)) splitter.add(piece);
    splitter.end();
    return reader.finish();
  } catch (error) {
    if (error instanceof RefusedAnswer || systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
