import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from "node:fs";
import { dirname } from "node:path";
import Database from "better-sqlite3";
import { MailError } from "../../src/mail/error.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { isBusy } from "./errors.ts";
import { migrations } from "./migrations/index.ts";

/** Earlier versions of SQLite can lose committed transactions when two processes checkpoint a WAL at once. */
const MIN_SQLITE = [3, 51, 3] as const;
/** "M25M": distinguishes our files from other SQLite databases. */
const APPLICATION_ID = 0x4d32354d;

/** ms to wait at opening for another process that creates or migrates the same file. */
const OPEN_TIMEOUT = 5_000;

export type Connection = Database.Database;

/**
 * Creates the database file and its folder, readable by this user only, whatever the umask.
 * An existing file stays. SQLite gives -wal and -shm the mode of the database.
 */
export function createFile(path: string): void {
  createFolder(dirname(path));
  if (existsSync(path)) return;
  closeSync(openSync(path, "a", 0o600)); // not "wx": stdio and serve may start at once on a new machine
}

/** Replaces mkdir's `recursive`, which never ends in Node where nothing can be created, as in /proc. */
function createFolder(path: string): void {
  if (existsSync(path)) return;
  createFolder(dirname(path));
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (existsSync(path)) return; // stdio and serve may start at once on a new machine
    throw error;
  }
  chmodSync(path, 0o700);
}

/**
 * True for a file with our database header (sqlite.org/fileformat2 1.3: the application id is at 68). Not for a database that this
 * process has open: closing any descriptor of a file ends all locks of the process on it (sqlite.org/howtocorrupt 2.2), and
 * the next program that closes the file deletes its write-ahead log.
 */
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

/** The refusal for a command that must not create a database. */
export function noDatabase(path: string): MailError {
  return new MailError(
    "unavailable",
    `There is no database at ${path}.`,
    "Name it with --db FILE or M25_MAIL_DB; m25-mail serve and m25-mail stdio create one.",
  );
}

/**
 * Opens an existing file; throws the errors of SQLite and the file system. A file that is not ours stays untouched:
 * somebody may have named it by mistake.
 *
 * @param isFirst false if this process has the file open already: it is ours then
 * @throws MailError unavailable: the file belongs to another program
 */
export function openConnection(
  path: string,
  { readonly, isFirst = true }: { readonly: boolean; isFirst?: boolean },
): Connection {
  const isOurs = !isFirst || isDatabaseFile(path);
  if (isOurs) closeToOthers(path);
  // SQLite waits for locks in this thread. Readers hardly ever wait; an open writer retries in retryWhileBusy() instead.
  const timeout = readonly ? 100 : OPEN_TIMEOUT;
  const connection = new Database(path, { readonly, fileMustExist: true, timeout });
  try {
    if (!isOurs) {
      refuseForeign(connection, path);
      closeToOthers(path);
    }
    connection.function("add_digests", { deterministic: true }, addDigests);
    connection.pragma("foreign_keys = ON");
    if (!readonly) useWriteAheadLog(connection);
    // After a deletion or a password change the old hash must be gone from the file.
    connection.pragma("secure_delete = ON");
    connection.pragma("synchronous = FULL");
    connection.pragma("cache_size = -16000");
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** The sum of two digests. Both engines get the same statements; PostgreSQL has this function in its database. */
function addDigests(one: string, other: string): string {
  return StateDigest.fromHex(one).addDigest(StateDigest.fromHex(other)).toString();
}

function closeToOthers(path: string): void {
  if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
}

/** A new file, or one whose header was not written before a crash, does not have our header yet. */
function refuseForeign(connection: Connection, path: string): void {
  // In one transaction: between two reads, another process may make its tables in a new file.
  const isForeign = connection.transaction(() => {
    const application = Number(connection.pragma("application_id", { simple: true }));
    const tables = connection.prepare("SELECT count(*) FROM sqlite_schema").pluck().get();
    return application !== APPLICATION_ID && tables !== 0;
  });
  if (!isForeign.deferred()) return;
  throw new MailError(
    "unavailable",
    `${path} is a database of another program.`,
    "Name a file of its own for M25 Mail with --db FILE or M25_MAIL_DB.",
  );
}

/** SQLite fails at once, without waiting, when two processes switch a new file to WAL at the same time. */
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

/** Refuses a database of a newer version; migrates an older one. */
export function migrate(connection: Connection, path: string): void {
  checkSqliteVersion(connection);
  const pending = connection.transaction(() => pendingMigrations(connection, path));
  // Opening a current database writes nothing: it needs no lock and works on a full disk.
  if (pending.deferred().length === 0) return;
  connection
    .transaction(() => {
      for (const migration of pendingMigrations(connection, path)) connection.exec(migration);
      connection.pragma(`application_id = ${APPLICATION_ID}`);
      connection.pragma(`user_version = ${migrations.length}`);
    })
    .immediate();
}

/** @throws MailError unavailable: written by a newer version */
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
