/** The command line is wrong. The message says how, to the person who typed it. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
