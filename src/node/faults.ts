import { RefusedAnswer } from "../sync/reader.ts";
import type { FailureReason } from "../sync/report.ts";
import { SqliteError, sqliteCodes } from "./replica/sqlite.ts";

/** How the program ends; the numbers are those of sysexits.h. */
export const exitCodes = {
  done: 0,
  usage: 2,
  refused: 65,
  output: 74,
  temporary: 75,
  notAccepted: 77,
  configuration: 78,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The command line cannot be understood. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Something that a person has to set right first: a file, a flag, a missing program. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** It may work next time. `retryAfter` is the server's wish, in milliseconds. */
export class TemporaryFailure extends Error {
  override readonly name = "TemporaryFailure";
  readonly retryAfter: number | undefined;

  constructor(message: string, retryAfter?: number) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** Nobody answered for the server. It may be back in a moment, as when it is started anew. */
export class Unreachable extends TemporaryFailure {}

/** The server knows no such key (401), or not from this address (403). */
export class NotAccepted extends Error {
  override readonly name = "NotAccepted";
}

/** Something answered, but not as a server of maps does: a redirect, a page, another status. */
export class WrongAnswer extends Error {
  override readonly name = "WrongAnswer";
}

/** What keeps an accepted state from being applied, in the words of a report. */
export function failureReason(error: unknown): FailureReason {
  const result = error instanceof SqliteError ? error.result : undefined;
  if (result === sqliteCodes.full) return "disk_full";
  if (result === sqliteCodes.readOnly || result === sqliteCodes.cannotOpen) return "not_permitted";
  switch (systemCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return "disk_full";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "not_permitted";
    default:
      return "write_failed";
  }
}

export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof ConfigurationError) return exitCodes.configuration;
  if (error instanceof NotAccepted) return exitCodes.notAccepted;
  if (error instanceof RefusedAnswer || error instanceof WrongAnswer) return exitCodes.refused;
  // No run after this one fares better until a person has changed a right or a mount.
  return failureReason(error) === "not_permitted" ? exitCodes.configuration : exitCodes.temporary;
}

const systemWords: Record<string, string> = {
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EACCES: "not permitted",
  EPERM: "not permitted",
  EROFS: "the file system is read-only",
  ENOENT: "there is no such file or folder",
  ENOTDIR: "that is no folder",
  EEXIST: "there is something else of that name",
};

/** One plain line about a fault. Never more than the fault's own words: no stack, no content of files. */
export function explain(error: unknown): string {
  if (error instanceof SqliteError) return `the replica cannot be used: ${onOneLine(error.message)}`;
  const code = systemCode(error);
  const words = code === undefined ? undefined : systemWords[code];
  const path = (error as { path?: unknown } | null)?.path;
  if (words !== undefined && typeof path === "string") return `${path}: ${words} (${code})`;
  const message = error instanceof Error ? error.message : String(error);
  return words === undefined ? message : `${words}: ${message}`;
}

export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** What a command said, on one line, without what would upset a terminal. */
export function onOneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
