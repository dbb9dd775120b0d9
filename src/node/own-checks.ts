import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeDurably } from "../machine/durable-file.ts";
import { type CheckName, checkNames } from "../mail/node-checks.ts";

/** A timer checks each hour: results older than this tell nothing. ms. */
const VALID = 86_400_000;

const fileIn = (out: string): string => join(out, "checks.json");

/** Keeps what `check` found, for the next report. */
export async function noteChecks(out: string, failed: readonly CheckName[], now: number): Promise<void> {
  const text = `${JSON.stringify({ at: new Date(now).toISOString(), failed })}\n`;
  await writeDurably(fileIn(out), text, { mode: 0o644 });
}

/** The checks that were not ok; undefined if there was no check within a day. */
export async function failedChecks(out: string, now: number): Promise<CheckName[] | undefined> {
  try {
    const { at, failed } = JSON.parse(await readFile(fileIn(out), "utf8")) as {
      at: string;
      failed: string[];
    };
    if (!(Math.abs(now - Date.parse(at)) < VALID)) return undefined;
    return checkNames.filter((name) => failed.includes(name));
  } catch {
    return undefined; // none yet
  }
}
