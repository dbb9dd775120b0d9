import { existsSync } from "node:fs";
import { isPostgresql } from "./location.ts";
import { openStore } from "./sqlite/store.ts";
import type { OpenOptions, Store } from "./store.ts";

/**
 * Opens a database by its file or its address.
 *
 * @throws MailError unavailable: see the engines' own
 */
export async function openDatabase(database: string, { create, passwordFile }: OpenOptions): Promise<Store> {
  if (!isPostgresql(database)) return openStore(database, { create });
  // Loaded only here: SQLite's start must not pay for it.
  const { openPostgresql } = await import("./postgres/store.ts");
  return openPostgresql(database, { create, passwordFile });
}

/** True if the database is a file that does not exist yet. */
export function isNewFile(database: string): boolean {
  return !isPostgresql(database) && !existsSync(database);
}
