import { UsageError } from "../command-line/usage-error.ts";
import { ConfigurationError, onOneLine, plainWords, systemCode } from "../machine/faults.ts";
import type { CommandResult } from "../machine/machine.ts";
import { RefusedAnswer } from "../sync/reader.ts";
import type { FailureReason } from "../sync/report.ts";
import { SqliteError, sqliteCodes } from "./replica/sqlite.ts";

/** The program's exit codes, after sysexits.h. */
export const exitCodes = {
  done: 0,
  usage: 2,
  refused: 65,
  amiss: 69,
  output: 74,
  temporary: 75,
  notAccepted: 77,
  configuration: 78,
} as const;

export const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  done: "done, or nothing to do",
  usage: "wrong usage",
  refused:
    "the server's answer was refused, and the old state stays in service; or too many removals were withheld, and the rest was applied",
  amiss: "check has found something that is not ok",
  output: "the output could not be written",
  temporary: "a temporary failure: run again",
  notAccepted: "the key or the address is not accepted",
  configuration: "a configuration that cannot work",
};

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A failure that may pass. `retryAfter` is the server's wish, in milliseconds. */
export class TemporaryFailure extends Error {
  override readonly name = "TemporaryFailure";
  readonly retryAfter: number | undefined;

  constructor(message: string, retryAfter?: number) {
    super(message);
    this.retryAfter = retryAfter;
  }
}

/** The server did not answer. It may be back in a moment, as after a restart. */
export class Unreachable extends TemporaryFailure {}

/** The server refused the key (401) or the address (403). */
export class NotAccepted extends Error {
  override readonly name = "NotAccepted";
}

/** The answer is not a sync server's: a redirect, a page, another status. */
export class WrongAnswer extends Error {
  override readonly name = "WrongAnswer";
}

/** The report's reason for an error while a state was applied. */
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
  // Later runs fail too until a person changes a right or a mount.
  return failureReason(error) === "not_permitted" ? exitCodes.configuration : exitCodes.temporary;
}

/** Explains an error in one plain line, without a stack or the content of files. */
export function explain(error: unknown): string {
  if (error instanceof SqliteError) return `the replica cannot be used: ${onOneLine(error.message)}`;
  return plainWords(error);
}

/** What a program has said on stderr; if nothing, how it ended. */
export function reasonOf(program: string, { code, stderr }: CommandResult): string {
  return onOneLine(stderr) || `${program} ended with ${code ?? "a signal"}`;
}
