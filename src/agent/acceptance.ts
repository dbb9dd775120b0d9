import { join } from "node:path";
import { ConfigurationError, type ExitCode, exitCodes } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { names, stagedName } from "./folder.ts";
import type { Host } from "./host.ts";
import { PRIVATE, replaceFile } from "./staging.ts";
import { parseNodeState } from "./state.ts";
import { count } from "./words.ts";

/** When that is. A resident program that waits at the server learns of the word at the end of its wait. */
export const NEXT_POLL =
  "the next poll, which comes within about a minute where the program runs, or four while the server is away";

/** An operator's word on this node: removals of this history up to this revision may go. */
interface Acceptance {
  history: string;
  revision: number;
}

/**
 * Accepts what is withheld now, and no more than that. The word is kept in DIR/accepted.json; the next poll
 * carries it out, with or without a server, and then removes it.
 *
 * @throws ConfigurationError where no state is
 */
export async function acceptRemovals({ files, print }: Host, { out }: { out: string }): Promise<ExitCode> {
  const state = parseNodeState(await files.read(join(out, names.state)));
  if (state === undefined) throw new ConfigurationError(`--out ${out} holds no state of a node`);
  const { withheld, applied } = state;
  if (withheld === null) {
    print("nothing is withheld\n");
    return exitCodes.done;
  }
  const acceptance: Acceptance = { history: applied.history, revision: withheld.last };
  const text = `${JSON.stringify(acceptance)}\n`;
  await replaceFile(files, join(out, stagedName(names.accepted)), join(out, names.accepted), [text], PRIVATE);
  print(`accepted: ${count(withheld.users, "user")} to go with ${NEXT_POLL}\n`);
  return exitCodes.done;
}

/** @returns undefined when there is none, or a damaged one */
export async function readAcceptance(files: FileSystem, out: string): Promise<Acceptance | undefined> {
  try {
    const { history, revision } = JSON.parse((await files.read(join(out, names.accepted))) ?? "");
    return typeof history === "string" && Number.isSafeInteger(revision) ? { history, revision } : undefined;
  } catch {
    return undefined;
  }
}
