import { MailError } from "../../src/mail/error.ts";

/** ms that a write waits for another process's transaction. */
export const BUSY_TIMEOUT = 5_000;

/**
 * Repeats `attempt` while another transaction holds the lock. SQLite's own busy handler would block every other
 * request of this process meanwhile.
 */
export async function retryWhileBusy<T>(
  attempt: () => Promise<T>,
  deadline = performance.now() + BUSY_TIMEOUT,
): Promise<T> {
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

export function isBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("SQLITE_BUSY");
}

/** True for SQLite's errors about a file that is not a database, or a damaged one. */
export function isDamage(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^SQLITE_(CORRUPT|NOTADB)/.test(String(error.code));
}

/**
 * Runs `fn` and converts failures of SQLite and the file system to a MailError. It names `path` only to the shell,
 * which gave it; callers of other doors must not learn it.
 */
export function translated<T>(fn: () => T, path?: string): T {
  try {
    return fn();
  } catch (error) {
    throw unavailable(error, path) ?? error;
  }
}

/** Expected failures of a database, by SQLite's primary result code or the system's errno. */
const failures: ReadonlyArray<[pattern: RegExp, message: string, hint: string, temporary: boolean]> = [
  [
    /^SQLITE_(FULL|IOERR_WRITE)|^ENOSPC|^EDQUOT/,
    "The disk with the database is full.",
    "Nothing was changed. Free some space there, then try again.",
    true,
  ],
  [
    /^SQLITE_BUSY|^SQLITE_LOCKED/,
    "The database is locked by another program.",
    "Nothing was changed. Try again in a few seconds.",
    true,
  ],
  [
    /^SQLITE_READONLY|^SQLITE_CANTOPEN|^SQLITE_PERM|^EACCES|^EPERM|^EROFS|^ENOENT|^ENOTDIR|^EISDIR/,
    "The database cannot be opened or written.",
    "Check that the file and its folder belong to the user that runs the server, on a file system that is not read-only.",
    false,
  ],
  [
    /^SQLITE_(CORRUPT|NOTADB)/,
    "The database file is damaged, or is not an SQLite database.",
    "Nothing was changed. Put a backup in its place, or name another file.",
    false,
  ],
  [
    /^SQLITE_IOERR|^EIO/,
    "The disk with the database fails.",
    "Nothing was changed. Check the system's log for disk errors.",
    true,
  ],
];

/** The MailError for a failure of disk or file; undefined for any other error. */
export function unavailable(error: unknown, path?: string): MailError | undefined {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const failure = failures.find(([pattern]) => pattern.test(code));
  if (failure === undefined) return undefined;
  const [, message, hint, temporary] = failure;
  return new MailError(
    "unavailable",
    path === undefined ? message : `${message.slice(0, -1)}: ${path}`,
    hint,
    { temporary },
  );
}
