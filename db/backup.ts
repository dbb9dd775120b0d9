import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { MailError } from "../src/mail/error.ts";
import {
  type Connection,
  isDamage,
  isDatabaseFile,
  migrate,
  noDatabase,
  openConnection,
  translated,
  unavailable,
} from "./file.ts";

/** What a restore puts back, what is referred to first. The audit log stays: what was done was done. */
const STATE = ["state", "revisions", "domains", "users", "removals"] as const;
/** Who may ask is not turned back: a revoked token stays revoked, and a node keeps the key that it has now. */
const ACCESS = ["nodes", "tokens", "oauth", "operator"] as const;

/**
 * Writes a consistent copy of the database to `file`, 0600, while others read and write it. An older backup there is
 * replaced, and nothing else.
 *
 * @returns true where it replaced one
 * @throws MailError unavailable, also where there is no database; invalid_input when `file` is the database, in use, or no backup
 */
export async function backUp(database: string, file: string): Promise<boolean> {
  if (!existsSync(database)) throw noDatabase(database);
  refuseItself(database, file);
  const replaces = existsSync(file);
  if (replaces) refuseToReplace(file);
  if (!existsSync(dirname(file))) {
    throw new MailError(
      "unavailable",
      `There is no folder ${dirname(file)}.`,
      "Make it first, or see whether its disk is mounted.",
    );
  }
  const connection = translated(() => openConnection(database, { readonly: true }), database);
  const unfinished = `${file}.${randomBytes(8).toString("hex")}.tmp`;
  try {
    createNew(unfinished);
    // Pins one state: the copy would begin anew at every commit of others, and one comes each second.
    connection.exec("BEGIN");
    connection.prepare("SELECT 1 FROM state").get();
    await connection.backup(unfinished);
    chmodSync(unfinished, 0o600);
    renameSync(unfinished, file);
    return replaces;
  } catch (error) {
    throw unavailable(error, file) ?? error;
  } finally {
    connection.close();
    if (existsSync(unfinished)) rmSync(unfinished);
  }
}

/** Fails on whatever is there, a link too: the folder may be one where others write. */
function createNew(path: string): void {
  closeSync(openSync(path, "wx", 0o600));
}

/** What a database has after a restore. */
export interface Restored {
  domains: number;
  /** With those that are soft-deleted. */
  mailboxes: number;
  softDeleted: number;
  /** When what nodes serve was last changed, RFC 3339 UTC: the backup is of that time or later. Null for never. */
  changedAt: string | null;
}

/**
 * Puts the content of a backup into the database, which may be in use, in one transaction. It begins another
 * history there: nodes then take the restored state, though its revision is a lower one. Nodes and tokens come
 * from the backup only where the database has none.
 *
 * @throws MailError unavailable: no such file, damaged, of another program, of a newer version; invalid_input
 * when `file` is the database
 */
export function restore(database: string, file: string): Restored {
  if (!existsSync(database)) throw noDatabase(database);
  if (!existsSync(file)) {
    throw new MailError("unavailable", `There is no file ${file}.`, "Name one that m25-mail backup wrote.");
  }
  refuseItself(database, file);
  if (!translated(() => isDatabaseFile(file), file)) {
    throw new MailError(
      "unavailable",
      `${file} is no backup of M25 Mail.`,
      "Nothing was changed. Name a file that m25-mail backup wrote.",
    );
  }
  if (isInUse(file)) {
    throw new MailError(
      "unavailable",
      `${file} is in use by another program.`,
      "Restore a file that m25-mail backup wrote.",
    );
  }
  // A copy, brought up to date, so that the backup itself stays as it is.
  const copy = `${database}.restore-${randomBytes(8).toString("hex")}`;
  try {
    translated(() => {
      createNew(copy);
      copyFileSync(file, copy);
    }, file);
    checkCopy(copy, file);
    return translated(() => putBack(database, copy, file), database);
  } finally {
    for (const path of [copy, `${copy}-wal`, `${copy}-shm`]) rmSync(path, { force: true });
  }
}

function putBack(database: string, copy: string, file: string): Restored {
  const connection = openConnection(database, { readonly: false });
  try {
    migrate(connection, database);
    connection.prepare("ATTACH ? AS backup").run(copy);
    const isEmpty = (table: string) =>
      connection.prepare(`SELECT count(*) FROM main.${table}`).pluck().get() === 0;
    return connection
      .transaction(() => {
        const tables = [...STATE, ...ACCESS.filter(isEmpty)];
        for (const table of tables.toReversed()) connection.exec(`DELETE FROM main.${table}`);
        for (const table of tables)
          connection.exec(`INSERT INTO main.${table} SELECT * FROM backup.${table}`);
        connection.exec("UPDATE main.state SET history = lower(hex(randomblob(16)))");
        // What was accepted was accepted of another history.
        connection.exec("UPDATE main.nodes SET accepted_revision = NULL");
        connection
          .prepare(
            `INSERT INTO main.audit_log (at, principal, door, tool, arguments, revision)
             SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 'operator', 'cli', 'restore', json_object('file', ?), revision
             FROM main.state`,
          )
          .run(file);
        return contentOf(connection);
      })
      .immediate();
  } finally {
    connection.close();
  }
}

function contentOf(connection: Connection): Restored {
  const restored = connection
    .prepare<[], Restored>(
      `SELECT domain_count AS domains, user_count + inactive_user_count AS mailboxes,
         inactive_user_count AS softDeleted,
         (SELECT at FROM main.revisions WHERE revision > 0 ORDER BY revision DESC LIMIT 1) AS changedAt
       FROM main.state`,
    )
    .get();
  if (restored === undefined) throw new Error("the state row is missing");
  return restored;
}

function checkCopy(copy: string, file: string): void {
  const damaged = new MailError(
    "unavailable",
    `${file} is damaged.`,
    "Nothing was changed. Restore another backup.",
  );
  try {
    const connection = openConnection(copy, { readonly: false });
    try {
      migrate(connection, file);
      if (connection.pragma("integrity_check", { simple: true }) !== "ok") throw damaged;
    } finally {
      connection.close();
    }
  } catch (error) {
    throw isDamage(error) ? damaged : (unavailable(error, file) ?? error);
  }
}

/** True while the file has a write-ahead log with content: a program that writes to it has it open, or crashed. */
function isInUse(file: string): boolean {
  return (statSync(`${realpathSync(file)}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0;
}

/** Whatever is not certainly a copy of ours may be all that there is of it. */
function refuseToReplace(file: string): void {
  if (translated(() => isDatabaseFile(file), file) && !isInUse(file)) return;
  throw new MailError(
    "invalid_input",
    `${file} is there already, and is no backup of M25 Mail.`,
    "It was left as it is. Name another file; an older backup may be replaced.",
  );
}

/** Renaming over a database in use, or copying it onto itself, would destroy it. */
function refuseItself(database: string, file: string): void {
  const [one, other] = [database, file].map((path) => statSync(path, { throwIfNoEntry: false }));
  if (one === undefined || other === undefined || one.ino !== other.ino || one.dev !== other.dev) return;
  throw new MailError(
    "invalid_input",
    `${file} is the database itself.`,
    "Name another file; --db FILE names the database.",
  );
}
