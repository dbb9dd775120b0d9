import { UsageError } from "../../command-line/usage-error.ts";
import { MailError } from "../../mail/error.ts";
import { OutputFailure } from "./output.ts";

/** The exit codes follow sysexits.h: cron runs again what ended with 75. */
export const exitCodes = { done: 0, refused: 1, usage: 2, output: 74, temporary: 75 } as const;

export const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  done: "done",
  refused: "refused",
  usage: "wrong usage",
  output: "the output could not be written",
  temporary: "a temporary failure (run again)",
};

/** The exit code of a failure. A bug, and a server that cannot listen, end as a refusal does. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof OutputFailure) {
    // The reader of a list wanted its first lines only.
    return error.code === "EPIPE" ? exitCodes.done : exitCodes.output;
  }
  return error instanceof MailError && error.temporary ? exitCodes.temporary : exitCodes.refused;
}
