import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { MailError } from "../src/mail/error.ts";
import { migrations } from "./migrations/index.ts";

/** SQLite before this loses committed transactions when two processes checkpoint a WAL at once. */
const MIN_SQLITE = [3, 51, 3] as const;
/** "M25M": tells our files from any other SQLite database. */
const APPLICATION_ID = 0x4d32354d;

/** How long opening waits for another process that creates or migrates the same file, in ms. */
const OPEN_TIMEOUT = 5_000;

export type Connection = Database.Database;

/**
 * Creates the database file, and its folder, for this user's eyes only whatever the umask.
 * A file that is there stays; SQLite gives -wal and -shm the mode of the database.
 */
export function createFile(path: string): void {
  createFolder(dirname(path));
  if (existsSync(path)) return;
  closeSync(openSync(path, "a", 0o600)); // not "wx": stdio and serve may both be started on a new machine
}

/** Not by mkdir's own `recursive`: in a place where nothing can be made, such as /proc, Node's never ends. */
function createFolder(path: string): void {
  if (existsSync(path)) return;
  createFolder(dirname(path));
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (existsSync(path)) return; // stdio and serve may both be started on a new machine
    throw error;
  }
  chmodSync(path, 0o700);
}

/** True for a file with the header of a database of ours (sqlite.org/fileformat2 1.3: the application id is at 68). */
export function isDatabaseFile(path: string): boolean {
  if (!statSync(path).isFile()) return false;
  const header = Buffer.alloc(100);
  const descriptor = openSync(path, "r");
  try {
    readSync(descriptor, header);
  } finally {
    closeSync(descriptor);
  }
  return (
    header.toString("latin1", 0, 16) === "SQLite format 3\0" && header.readUInt32BE(68) === APPLICATION_ID
  );
}

/** What a command gets that must not create a database. */
export function noDatabase(path: string): MailError {
  return new MailError(
    "unavailable",
    `There is no database at ${path}.`,
    "Name it with --db FILE or M25_MAIL_DB; m25-mail serve and m25-mail stdio create one.",
  );
}

/**
 * Opens a file that is there; throws what SQLite or the file system throws. Whatever is not ours is left as it is: it
 * may be anything that somebody named by mistake.
 *
 * @throws MailError unavailable: of another program
 */
export function openConnection(path: string, { readonly }: { readonly: boolean }): Connection {
  const isOurs = isDatabaseFile(path);
  if (isOurs) closeToOthers(path);
  // SQLite waits for locks in this thread. A reader hardly ever has to; a writer, once open, retries by itself.
  const timeout = readonly ? 100 : OPEN_TIMEOUT;
  const connection = new Database(path, { readonly, fileMustExist: true, timeout });
  try {
    if (!isOurs) {
      refuseForeign(connection, path);
      closeToOthers(path);
    }
    connection.pragma("foreign_keys = ON");
    if (!readonly) useWriteAheadLog(connection);
    // Who deletes a mailbox, or changes a password, wants the old hash to be gone.
    connection.pragma("secure_delete = ON");
    connection.pragma("synchronous = FULL");
    connection.pragma("cache_size = -16000");
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

function closeToOthers(path: string): void {
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
}

/** What is new, or was not written back to the file before a crash, has no header of ours yet. */
function refuseForeign(connection: Connection, path: string): void {
  const application = Number(connection.pragma("application_id", { simple: true }));
  const tables = connection.prepare("SELECT count(*) FROM sqlite_schema").pluck().get();
  if (application === APPLICATION_ID || tables === 0) return;
  throw new MailError(
    "unavailable",
    `${path} is a database of another program.`,
    "Name a file of its own for M25 Mail with --db FILE or M25_MAIL_DB.",
  );
}

/** SQLite does not wait but fails at once where two processes turn a new file to WAL together. */
function useWriteAheadLog(connection: Connection): void {
  const deadline = performance.now() + OPEN_TIMEOUT;
  for (;;) {
    try {
      connection.pragma("journal_mode = WAL");
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadline) throw error;
    }
  }
}

/** How long a write waits for another's transaction, in ms. */
export const BUSY_TIMEOUT = 5_000;

/**
 * Repeats `attempt` while another transaction is in its way. SQLite's own busy handler would block every other
 * request of this process while it waits.
 */
export async function patiently<T>(
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

/** True for what SQLite says of a file that is no database, or no whole one. */
export function isDamage(error: unknown): boolean {
  return error instanceof Error && "code" in error && /^SQLITE_(CORRUPT|NOTADB)/.test(String(error.code));
}

/** Refuses what is newer than this program; brings an older database up to date. */
export function migrate(connection: Connection, path: string): void {
  checkSqliteVersion(connection);
  const pending = connection.transaction(() => pendingMigrations(connection, path));
  // Opening what is up to date writes nothing: it needs no lock, and no room on a full disk.
  if (pending.deferred().length === 0) return;
  connection
    .transaction(() => {
      for (const migration of pendingMigrations(connection, path)) connection.exec(migration);
      connection.pragma(`application_id = ${APPLICATION_ID}`);
      connection.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

/** @throws MailError unavailable: of a newer version */
function pendingMigrations(connection: Connection, path: string): readonly string[] {
  const version = Number(connection.pragma("user_version", { simple: true }));
  if (version > migrations.length) {
    throw new MailError(
      "unavailable",
      `${path} was written by a newer version of M25 Mail (schema ${version}, this program knows ${migrations.length}).`,
      "Install the newer version, or name another file.",
    );
  }
  return migrations.slice(version);
}

function checkSqliteVersion(connection: Connection): void {
  const version = String(connection.prepare("SELECT sqlite_version()").pluck().get());
  const parts = version.split(".").map(Number);
  const older =
    MIN_SQLITE.map((wanted, index) => (parts[index] ?? 0) - wanted).find((step) => step !== 0) ?? 0;
  if (older < 0) {
    throw new MailError(
      "unavailable",
      `SQLite ${version} is too old: M25 Mail needs ${MIN_SQLITE.join(".")} or later.`,
      "Install the dependencies again with npm ci; they bring a newer SQLite.",
    );
  }
}

/**
 * Runs `fn`; what SQLite or the file system refuses becomes a MailError. It names `path` to the shell that gave
 * it; calls by other doors, which must not learn it, leave it out.
 */
export function translated<T>(fn: () => T, path?: string): T {
  try {
    return fn();
  } catch (error) {
    throw unavailable(error, path) ?? error;
  }
}

/** The failures of a database that are nobody's bug, by SQLite's primary result code or the system's errno. */
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
    "The database file is damaged, or no SQLite database.",
    "Nothing was changed. Put a backup in its place, or name another file with --db FILE.",
    false,
  ],
  [
    /^SQLITE_IOERR|^EIO/,
    "The disk with the database fails.",
    "Nothing was changed. See the system's log for disk errors.",
    true,
  ],
];

/** The MailError for a failure of disk or file, or undefined when `error` is something else. */
export function unavailable(error: unknown, path?: string): MailError | undefined {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const failure = failures.find(([pattern]) => pattern.test(code));
  if (failure === undefined) return undefined;
  const [, message, hint, temporary] = failure;
  return new MailError(
    "unavailable",
    path === undefined ? message : `${message.slice(0, -1)}: ${path}`,
    hint,
    temporary,
  );
}
