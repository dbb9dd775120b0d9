import { Kysely, SqliteDialect, sql } from "kysely";
import { AuditTable } from "./audit.ts";
import { DomainTable } from "./domains.ts";
import { createFile, migrate, openConnection, unavailable } from "./file.ts";
import { NodeTable } from "./nodes.ts";
import { pollReader, readState } from "./reading.ts";
import type { Schema } from "./schema.ts";
import { StateTable } from "./state.ts";
import type { Store, Tables } from "./store.ts";
import { TokenTable } from "./tokens.ts";
import { UserTable } from "./users.ts";

/** How long a write waits for another process's transaction, in ms. */
const BUSY_TIMEOUT = 5_000;

/**
 * Opens the embedded store. Several processes may have the same file open.
 *
 * @throws MailError unavailable: no such file, damaged, of another program, of a newer version, not writable
 */
export function openStore(path: string, { create }: { create: boolean }): Store {
  if (create) createFileOrRefuse(path);
  const writer = openConnection(path, { readonly: false });
  try {
    migrate(writer, path);
  } catch (error) {
    writer.close();
    throw error;
  }
  const reader = openConnection(path, { readonly: true });
  const poller = openConnection(path, { readonly: true });
  const writing = new Kysely<Schema>({ dialect: new SqliteDialect({ database: writer }) });
  const reading = new Kysely<Schema>({ dialect: new SqliteDialect({ database: reader }) });
  return {
    read: (fn) => transaction(reading, sql`BEGIN`, fn),
    write: (fn) => transaction(writing, sql`BEGIN IMMEDIATE`, fn),
    polls: pollReader(poller),
    readState: (view, since) => readState(path, view, since),
    async close() {
      poller.close();
      await reading.destroy();
      await writing.destroy(); // the last connection to close folds the write-ahead log into the file
    },
  };
}

function createFileOrRefuse(path: string): void {
  try {
    createFile(path);
  } catch (error) {
    throw unavailable(error, path) ?? error;
  }
}

/**
 * One transaction on the connection's only slot: Kysely queues the others. A write begins IMMEDIATE: a
 * deferred one that reads first fails at once when another process wrote meanwhile (SQLITE_BUSY_SNAPSHOT).
 */
async function transaction<T>(
  db: Kysely<Schema>,
  begin: ReturnType<typeof sql>,
  fn: (tables: Tables) => Promise<T>,
): Promise<T> {
  return db.connection().execute(async (connection) => {
    try {
      await patiently(() => begin.execute(connection));
      try {
        const result = await fn(tablesOf(connection));
        await sql`COMMIT`.execute(connection);
        return result;
      } catch (error) {
        // SQLite may have rolled back by itself (disk full): the second ROLLBACK then has nothing to do.
        await sql`ROLLBACK`.execute(connection).catch(() => {});
        throw error;
      }
    } catch (error) {
      throw unavailable(error) ?? error;
    }
  });
}

/** SQLite's own busy handler would block every other request of this process while it waits. */
async function patiently(begin: () => Promise<unknown>): Promise<void> {
  const deadline = Date.now() + BUSY_TIMEOUT;
  for (;;) {
    try {
      await begin();
      return;
    } catch (error) {
      const busy = error instanceof Error && "code" in error && error.code === "SQLITE_BUSY";
      if (!busy || Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

function tablesOf(db: Kysely<Schema>): Tables {
  const state = new StateTable(db);
  const domains = new DomainTable(db, state);
  return {
    state,
    domains,
    users: new UserTable(db, state, domains),
    nodes: new NodeTable(db),
    tokens: new TokenTable(db),
    audit: new AuditTable(db),
  };
}
