/** An error in the command line, with a message for the person who typed it. Exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
