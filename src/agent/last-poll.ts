import { join } from "node:path";
import { onOneLine } from "./faults.ts";
import type { FileSystem } from "./file-system.ts";
import { names, stagedName } from "./folder.ts";
import type { Host } from "./host.ts";

/** What came of the last poll, for `status`. */
export interface LastPoll {
  /** RFC 3339. */
  at: string;
  exit_code: number;
  /** The HTTP status of the server's answer about the maps; null when there was none. */
  answer: number | null;
  /** As in the report, when something was refused, withheld or failed. */
  reason: string | null;
  /** How many the reason is about. */
  count: number | null;
  /** What was logged about it: for people, and only on this machine. */
  message: string | null;
  /** Why Dovecot did not say whom it knows when it was last asked, as after each change; null where it did. */
  dovecot: string | null;
}

/**
 * A host that says each line once, and remembers the last that was about a fault.
 *
 * @param before what was said already
 */
export function listenTo(
  host: Host,
  before: readonly string[],
): { host: Host; lastLine(): string | undefined } {
  let last: string | undefined;
  const said = new Set(before);
  const log = (line: string): void => {
    if (said.has(line)) return;
    said.add(line);
    if (!line.startsWith("warning: ")) last = line;
    host.log(line);
  };
  return { host: { ...host, log }, lastLine: () => last };
}

/** Writes DIR/last-poll.json, whole or not at all; a disk that does not take it keeps no poll from its work. */
export async function recordPoll(files: FileSystem, out: string, poll: LastPoll): Promise<void> {
  const staged = join(out, stagedName(names.lastPoll));
  try {
    await files.remove(staged);
    const file = await files.create(staged);
    try {
      await file.write(`${JSON.stringify(poll)}\n`);
    } finally {
      await file.close();
    }
    await files.rename(staged, join(out, names.lastPoll));
  } catch {
    await files.remove(staged).catch(() => undefined);
  }
}

/** @returns undefined when there is none, or a damaged one */
export async function readLastPoll(files: FileSystem, out: string): Promise<LastPoll | undefined> {
  const text = await files.read(join(out, names.lastPoll));
  try {
    const { at, exit_code, answer, reason, count, message, dovecot } = JSON.parse(
      text ?? "",
    ) as Partial<LastPoll>;
    if (typeof at !== "string" || Number.isNaN(Date.parse(at)) || !Number.isSafeInteger(exit_code)) return;
    return {
      at,
      exit_code: exit_code as number,
      answer: integerOrNull(answer),
      reason: textOrNull(reason),
      count: integerOrNull(count),
      message: textOrNull(message),
      dovecot: textOrNull(dovecot),
    };
  } catch {
    return undefined;
  }
}

function integerOrNull(value: unknown): number | null {
  return Number.isSafeInteger(value) ? (value as number) : null;
}

function textOrNull(value: unknown): string | null {
  return typeof value === "string" ? onOneLine(value) : null;
}
