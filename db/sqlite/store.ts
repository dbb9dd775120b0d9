import { existsSync, statSync } from "node:fs";
import type { Selectable } from "kysely";
import { toToken } from "../access/tokens.ts";
import type { Schema } from "../schema.ts";
import type { Store } from "../store.ts";
import { tableTransactions } from "../transactions.ts";
import { ChangeWatch } from "./change-watch.ts";
import { type Connection, createFile, migrate, noDatabase, openConnection } from "./connection.ts";
import { ContactWriter } from "./contacts.ts";
import { translated } from "./errors.ts";
import { truncateLogRegularly } from "./log-truncation.ts";
import { migrations } from "./migrations/index.ts";
import { FilePollReader } from "./poll-reader.ts";
import { readState } from "./state-reader.ts";
import { FileTransactions } from "./transactions.ts";

/**
 * Opens the embedded store. Several processes may have the same file open.
 *
 * @throws MailError unavailable: file missing, damaged, another program's, of a newer version, or not writable
 */
export function openStore(path: string, { create }: { create: boolean }): Store {
  const [writer, reader, poller] = translated(() => openConnections(path, create), path);
  const writing = new FileTransactions(writer, "IMMEDIATE");
  const reading = new FileTransactions(reader, "DEFERRED");
  const contacts = new ContactWriter(path);
  const polls = new FilePollReader(poller);
  const watch = new ChangeWatch(polls, path);
  // Holds both connections: no transaction of this process is open then. The writer comes first: its transaction may take seconds.
  const stopTruncating = truncateLogRegularly(path, () =>
    writing.between(() => reading.between(async () => truncateLog(writer))),
  );
  const transactions = tableTransactions(reading, writing);
  let closed: Promise<void> | undefined;
  const closeAll = async () => {
    stopTruncating();
    transactions.stop();
    await reading.close();
    await writing.between(async () => {}); // waits for the transactions that have begun
    poller.close();
    contacts.close();
    await writing.close(); // the last connection, if it can write, folds the write-ahead log into the file
  };
  return {
    ...transactions,
    recordContacts: (seen) => contacts.record(seen),
    polls,
    onChange: (listener) => watch.on(listener),
    schema: migrations.length,
    engine: "sqlite",
    figures: async () => ({ bytes: { database: sizeOf(path), wal: sizeOf(`${path}-wal`) } }),
    token: tokenReader(poller),
    readState: async (view, since) => translated(() => readState(path, view, since)),
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Reads an access token by the id in its text. It uses a prepared statement, because each request over HTTP asks. */
function tokenReader(connection: Connection): Store["token"] {
  const byId = connection.prepare<[string], Selectable<Schema["tokens"]>>(
    "SELECT * FROM tokens WHERE token_id = ?",
  );
  return async (tokenId) =>
    translated(() => {
      const row = byId.get(tokenId);
      return row && toToken(row);
    });
}

/** @returns false when another process or an open snapshot holds the log */
function truncateLog(connection: Connection): boolean {
  const [result] = connection.pragma("wal_checkpoint(TRUNCATE)") as Array<{ busy: number }>;
  return result?.busy === 0;
}

function openConnections(path: string, create: boolean): [Connection, Connection, Connection] {
  if (create) createFile(path);
  else if (!existsSync(path)) throw noDatabase(path);
  const writer = openConnection(path, { readonly: false });
  try {
    migrate(writer, path);
    writer.pragma("busy_timeout = 0"); // retryWhileBusy() waits instead and blocks nobody
  } catch (error) {
    writer.close();
    throw error;
  }
  const another = () => openConnection(path, { readonly: true, isFirst: false });
  return [writer, another(), another()];
}
