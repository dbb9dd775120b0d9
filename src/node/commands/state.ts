import type { Machine } from "../../machine/machine.ts";
import { fileNames, hasFile } from "../replica/files.ts";
import { type Notes, readNotes } from "../replica/notes.ts";
import {
  attach,
  attachToRead,
  currentState,
  emptyReplica,
  type Meta,
  type Replica,
  readState,
  requireLogs,
} from "../replica/replica.ts";
import { Sqlite } from "../replica/sqlite.ts";
import { findSqlite } from "../session.ts";

/** The folder's content, for commands that do not ask the server. */
export interface Found {
  /** Its meta is undefined while the folder has no state. */
  replica: Replica;
  meta: Meta | undefined;
  notes: Notes;
}

/**
 * Opens the state while another program may keep it, and closes it again.
 *
 * @param mode `write` only for a note: two programs must not write anything else
 * @throws SqliteError, ConfigurationError
 */
export async function withState<T>(
  machine: Machine,
  folder: string,
  mode: "read" | "write",
  use: (found: Found) => Promise<T>,
): Promise<T> {
  await requireLogs(folder);
  const db = new Sqlite({ command: await findSqlite(machine), folder });
  try {
    // The program that waits takes a write to a database for a stranger's.
    await db.run("PRAGMA busy_timeout = 60000;\nPRAGMA wal_autocheckpoint = 0;");
    const stateName = await currentState({ folder }, db);
    const open = mode === "read" ? attachToRead : attach;
    const hasAddresses = await hasFile(folder, fileNames.addresses);
    if (stateName !== undefined) await open(db, "state", `${folder}/${stateName}`);
    if (hasAddresses) await open(db, "addresses", `${folder}/${fileNames.addresses}`);
    const replica = { ...emptyReplica(folder, db), stateName };
    if (stateName === undefined && !hasAddresses) return await use({ replica, meta: undefined, notes: {} });
    if (stateName !== undefined) await readState(replica);
    const meta = replica.meta?.history === "" ? undefined : replica.meta;
    return await use({ replica, meta, notes: await readNotes(replica) });
  } finally {
    await db.close();
  }
}
