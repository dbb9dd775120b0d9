import type { MailState } from "../sync/answer.ts";
import { AnswerReader, RefusedAnswer } from "../sync/reader.ts";
import { systemCode } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { LineSplitter } from "./lines.ts";

/**
 * Reads a state that this program wrote, and proves it as if a server had sent it.
 *
 * @returns undefined when there is none, or none that is whole
 */
export async function readSnapshot(files: FileSystem, path: string): Promise<MailState | undefined> {
  const reader = new AnswerReader();
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
