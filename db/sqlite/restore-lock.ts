import { closeSync, lstatSync, openSync, rmSync } from "node:fs";
import Database from "better-sqlite3";
import { MailError } from "../../src/mail/error.ts";
import { isBusy } from "./errors.ts";

/**
 * Locks a database for one restore at a time. It is a file lock of the system, so it ends with the process.
 *
 * @returns releases the lock
 * @throws MailError busy
 */
export function lockRestore(database: string): () => void {
  const path = `${database}.restore-lock`;
  for (;;) {
    const before = fileAt(path);
    const connection = new Database(path, { timeout: 0 });
    try {
      connection.exec("BEGIN EXCLUSIVE");
    } catch (error) {
      connection.close();
      throw isBusy(error) ? underWay(database) : error;
    }
    // The previous holder may have removed the file after it was opened here. Another process may then lock a new file.
    if (lstatSync(path, { throwIfNoEntry: false })?.ino === before) {
      return () => {
        rmSync(path, { force: true });
        connection.close();
      };
    }
    connection.close();
  }
}

/** @returns the file's inode; creates the file if there is none, and follows no link */
function fileAt(path: string): number {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return fileAt(path);
  if (found.isFile()) return found.ino;
  throw new MailError(
    "unavailable",
    `${path} is not a file.`,
    "Nothing was changed. Remove it, then try again.",
  );
}

function underWay(database: string): MailError {
  return new MailError(
    "busy",
    `Another restore into ${database} is under way.`,
    "Nothing was changed. Wait until it has ended, or stop it with Ctrl-C, then try again.",
    { temporary: true },
  );
}
