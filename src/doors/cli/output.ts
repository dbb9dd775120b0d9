/** What was to be shown could not be written: a full disk, or a reader that has hung up (EPIPE). */
export class OutputFailure extends Error {
  override readonly name = "OutputFailure";
  readonly code: string;

  constructor(cause: unknown) {
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
    super(`The output could not be written (${code}).`);
    this.code = code;
  }
}

/**
 * Writes to stdout, and resolves once it is written.
 *
 * @throws OutputFailure
 */
export function writeOut(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (cause) => (cause ? reject(new OutputFailure(cause)) : resolve()));
  });
}
