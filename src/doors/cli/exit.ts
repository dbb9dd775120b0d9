import { UsageError } from "../../command-line/usage-error.ts";
import { MailError } from "../../mail/error.ts";
import { OutputFailure } from "./output.ts";

/** Exit codes after sysexits.h: cron runs a command again after 75. */
export const exitCodes = { done: 0, refused: 1, usage: 2, output: 74, temporary: 75 } as const;

export const exitMeanings: Readonly<Record<keyof typeof exitCodes, string>> = {
  done: "done",
  refused: "refused",
  usage: "wrong usage",
  output: "the output could not be written",
  temporary: "a temporary failure (run again)",
};

/** The exit code of a failure. A bug, and a server that cannot listen, count as a refusal. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return exitCodes.usage;
  if (error instanceof OutputFailure) {
    // The reader, such as `head`, wanted only the first lines.
    return error.code === "EPIPE" ? exitCodes.done : exitCodes.output;
  }
  return error instanceof MailError && error.temporary ? exitCodes.temporary : exitCodes.refused;
}
