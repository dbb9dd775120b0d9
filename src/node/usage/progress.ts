import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../../machine/durable-file.ts";

/** ms from the begin of one report to the next. */
export const EVERY = 86_400_000;

/** Where a report of all mailboxes stands. */
export interface Progress {
  /** ms since 1970. */
  begun: number;
  /** Domain and local part of the last mailbox that was told; null before the first one. */
  after: readonly [domain: string, local: string] | null;
  /** When the next mailboxes are due, in ms since 1970. */
  next: number;
}

const fileIn = (out: string): string => join(out, "usage.json");

/** @returns a new report if there is none, or the clock was set back */
export async function readProgress(out: string, now: number): Promise<Progress> {
  try {
    const read = JSON.parse(await readFile(fileIn(out), "utf8")) as Progress;
    if (read.begun <= now && read.next - now <= EVERY) return read;
  } catch {
    // none yet
  }
  return { begun: now, after: null, next: now };
}

export async function writeProgress(out: string, progress: Progress): Promise<void> {
  await writeDurably(fileIn(out), `${JSON.stringify(progress)}\n`, { mode: 0o600 });
}
