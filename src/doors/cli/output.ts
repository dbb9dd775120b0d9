import { constants, fstatSync, readFileSync, statSync } from "node:fs";

/** The output could not be written: the disk is full, or its reader has gone (EPIPE). */
export class OutputFailure extends Error {
  override readonly name = "OutputFailure";
  readonly code: string;

  constructor(cause: unknown) {
    const code =
      typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "unknown";
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

/** A terminal's line, erased (ECMA-48: CR, then EL). */
const CLEARED = "\r\x1b[K";

/** Shows on a terminal how far a long command is, in one line that the next call replaces; "" leaves none. */
export function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${CLEARED}${text}`);
}

/**
 * Fails if the shell closed stdout (`>&-`). Node opens it as /dev/null for reading and writing, where every write succeeds;
 * a shell's `>/dev/null` is for writing only. Only Linux shows the difference.
 *
 * @throws OutputFailure
 */
export function refuseClosedStdout(): void {
  if (isClosed()) throw new OutputFailure({ code: "EBADF" });
}

function isClosed(): boolean {
  try {
    const [, flags = ""] = /^flags:\s*(\d+)$/m.exec(readFileSync("/proc/self/fdinfo/1", "utf8")) ?? [];
    const isNull = fstatSync(1).rdev === statSync("/dev/null").rdev;
    return isNull && (Number.parseInt(flags, 8) & constants.O_RDWR) !== 0;
  } catch {
    return false;
  }
}
