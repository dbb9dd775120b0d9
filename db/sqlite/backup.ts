import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  existsSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { MailError } from "../../src/mail/error.ts";
import { type Connection, isDatabaseFile, noDatabase, openConnection } from "./connection.ts";
import { translated, unavailable } from "./errors.ts";

/** Called between batches of pages. */
export type Progress = (copied: number, all: number) => void;

/** Pages per batch: 4 MB of 4 KB pages, which take some milliseconds. */
const PAGES = 1000;

/**
 * Writes a consistent copy of the database to `file`, 0600, while others read and write it. It replaces `file` only if
 * that is an older backup.
 *
 * @returns true if it replaced a backup
 * @throws MailError unavailable, also without a database; invalid_input when `file` is the database, in use, or not a backup
 */
export async function backUp(database: string, file: string, progress?: Progress): Promise<boolean> {
  if (!existsSync(database)) throw noDatabase(database);
  refuseItself(database, file);
  const replaces = existsSync(file);
  if (replaces) refuseToReplace(file);
  if (!existsSync(dirname(file))) {
    throw new MailError(
      "unavailable",
      `There is no folder ${dirname(file)}.`,
      "Make it first, or check whether its disk is mounted.",
    );
  }
  const connection = translated(() => openConnection(database, { readonly: true }), database);
  try {
    await writeCopy(connection, file, progress);
    return replaces;
  } finally {
    connection.close();
  }
}

/**
 * Writes a copy of a connection's database to `file`, 0600, in place of what is there. A kill leaves `file.….tmp`.
 *
 * @throws MailError unavailable
 */
export async function writeCopy(
  connection: Connection,
  file: string,
  progress: Progress = () => {},
): Promise<void> {
  const unfinished = `${file}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    createNew(unfinished);
    // Pin one state. Otherwise the copy would restart at every commit of another process, about one a second.
    connection.exec("BEGIN");
    connection.prepare("SELECT 1 FROM main.state").get();
    await connection.backup(unfinished, {
      progress: ({ totalPages, remainingPages }) => {
        progress(totalPages - remainingPages, totalPages);
        return PAGES;
      },
    });
    chmodSync(unfinished, 0o600);
    renameSync(unfinished, file);
  } catch (error) {
    throw unavailable(error, file) ?? error;
  } finally {
    if (connection.inTransaction) connection.exec("COMMIT");
    if (existsSync(unfinished)) rmSync(unfinished);
  }
}

/** Fails if anything exists there, even a link: others may be able to write in the folder. */
export function createNew(path: string): void {
  closeSync(openSync(path, "wx", 0o600));
}

/** True if the file's write-ahead log has content: a writer has it open, or crashed. */
export function isInUse(file: string): boolean {
  return (statSync(`${realpathSync(file)}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Refuses to replace a file that is not certainly one of our backups. */
function refuseToReplace(file: string): void {
  if (translated(() => isDatabaseFile(file), file) && !isInUse(file)) return;
  throw new MailError(
    "invalid_input",
    `${file} exists already, and is not a backup of M25 Mail.`,
    "It was not changed. Name another file; an older backup may be replaced.",
  );
}

/** Refuses a database in use, or the database itself: a rename would destroy it. */
export function refuseItself(database: string, file: string): void {
  const [one, other] = [database, file].map((path) => statSync(path, { throwIfNoEntry: false }));
  if (one === undefined || other === undefined || one.ino !== other.ino || one.dev !== other.dev) return;
  throw new MailError(
    "invalid_input",
    `${file} is the database itself.`,
    "Name another file; --db FILE names the database.",
  );
}
