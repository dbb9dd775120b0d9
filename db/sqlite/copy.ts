import { existsSync, renameSync, rmSync } from "node:fs";
import { MailError } from "../../src/mail/error.ts";
import { COPIED_ROWS, type CopySource, type CopyTarget, notEmpty } from "../copied-tables.ts";
import { isInUse } from "./backup.ts";
import { openConnection } from "./connection.ts";
import { translated } from "./errors.ts";
import { openStore } from "./store.ts";

/** @throws MailError unavailable: as openStore(); in use */
export async function readSqlite(file: string): Promise<CopySource> {
  if (existsSync(file) && isInUse(file)) {
    throw new MailError(
      "unavailable",
      `${file} is in use by another program.`,
      "Nothing was copied. Stop the server first: changes that it makes later would be lost.",
    );
  }
  await openStore(file, { create: false }).close(); // migrates it
  const connection = translated(() => openConnection(file, { readonly: true }), file);
  connection.exec("BEGIN");
  return {
    async *rows(table) {
      let rows: Array<Record<string, string | number | null>> = [];
      const all = connection.prepare<[], Record<string, string | number | null>>(`SELECT * FROM ${table}`);
      for (const row of all.iterate()) {
        rows.push(row);
        if (rows.length < COPIED_ROWS) continue;
        yield rows;
        rows = [];
      }
      if (rows.length > 0) yield rows;
    },
    close: async () => void connection.close(),
  };
}

/** @throws MailError invalid_input if there is a file already */
export async function createSqliteCopy(file: string): Promise<CopyTarget> {
  if (existsSync(file)) throw notEmpty(file);
  const unfinished = `${file}.unfinished`;
  rmSync(unfinished, { force: true });
  await openStore(unfinished, { create: true }).close();
  const connection = translated(() => openConnection(unfinished, { readonly: false }), unfinished);
  connection.exec("BEGIN; DELETE FROM state; DELETE FROM revisions; DELETE FROM audit_retention");
  let isOpen = true;
  const close = () => {
    if (isOpen) connection.close();
    isOpen = false;
  };
  return {
    async add(table, rows) {
      const names = Object.keys(rows[0] ?? {});
      const insert = connection.prepare(
        `INSERT INTO ${table} (${names.join()}) VALUES (${names.map((name) => `@${name}`).join()})`,
      );
      translated(() => {
        for (const row of rows) insert.run(row);
      }, file);
    },
    async finish() {
      translated(() => connection.exec("COMMIT"), file);
      close();
      renameSync(unfinished, file);
    },
    async close() {
      close();
      for (const rest of ["", "-wal", "-shm"]) rmSync(`${unfinished}${rest}`, { force: true });
    },
  };
}
