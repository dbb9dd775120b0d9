import { chmodSync, copyFileSync, existsSync, renameSync, rmSync } from "node:fs";
import { MailError } from "../src/mail/error.ts";
import { createFile, migrate, openConnection, translated, unavailable } from "./file.ts";

/** What a restore puts back, what is referred to first; the audit log is not among them, for what was done was done. */
const TABLES = ["state", "revisions", "domains", "users", "removals", "nodes", "tokens"] as const;

/**
 * Writes a consistent copy of the database to `file`, 0600, while others read and write it.
 *
 * @throws MailError unavailable
 */
export async function backUp(database: string, file: string): Promise<void> {
  const connection = translated(() => openConnection(database, { readonly: true }), database);
  const unfinished = `${file}.${process.pid}.tmp`;
  try {
    createFile(unfinished);
    await connection.backup(unfinished);
    chmodSync(unfinished, 0o600);
    renameSync(unfinished, file);
  } catch (error) {
    throw unavailable(error, file) ?? error;
  } finally {
    connection.close();
    rmSync(unfinished, { force: true });
  }
}

/**
 * Puts the content of a backup into the database, which may be in use, in one transaction. It begins another
 * history there: nodes then take the restored state, though its revision is a lower one.
 *
 * @throws MailError unavailable: no such file, damaged, of another program, of a newer version
 */
export function restore(database: string, file: string): void {
  translated(() => putBack(database, file), file);
}

function putBack(database: string, file: string): void {
  if (!existsSync(file)) {
    throw new MailError("unavailable", `There is no file ${file}.`, "Name one that m25-mail backup wrote.");
  }
  createFile(database);
  // A copy, brought up to date, so that the backup itself stays as it is.
  const copy = `${database}.restore-${process.pid}`;
  copyFileSync(file, copy);
  try {
    checkCopy(copy, file);
    const connection = openConnection(database, { readonly: false });
    try {
      migrate(connection, database);
      connection.prepare("ATTACH ? AS backup").run(copy);
      connection
        .transaction(() => {
          for (const table of TABLES.toReversed()) connection.exec(`DELETE FROM main.${table}`);
          for (const table of TABLES)
            connection.exec(`INSERT INTO main.${table} SELECT * FROM backup.${table}`);
          connection.exec("UPDATE state SET history = lower(hex(randomblob(16)))");
        })
        .immediate();
    } finally {
      connection.close();
    }
  } finally {
    for (const path of [copy, `${copy}-wal`, `${copy}-shm`]) rmSync(path, { force: true });
  }
}

function checkCopy(copy: string, file: string): void {
  const connection = openConnection(copy, { readonly: false });
  try {
    if (connection.pragma("application_id", { simple: true }) === 0) {
      throw new MailError(
        "unavailable",
        `${file} is no backup of M25 Mail.`,
        "Name one that m25-mail backup wrote.",
      );
    }
    migrate(connection, file);
    if (connection.pragma("integrity_check", { simple: true }) !== "ok") {
      throw new MailError(
        "unavailable",
        `${file} is damaged.`,
        "Nothing was changed. Restore another backup.",
      );
    }
  } finally {
    connection.close();
  }
}
