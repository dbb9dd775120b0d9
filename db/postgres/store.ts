import type { Selectable } from "kysely";
import type pg from "pg";
import { toToken } from "../access/tokens.ts";
import type { Schema } from "../schema.ts";
import type { OpenOptions, Store } from "../store.ts";
import { tableTransactions } from "../transactions.ts";
import { ChangeWatch } from "./change-watch.ts";
import { Connections } from "./connections.ts";
import { recordContacts } from "./contacts.ts";
import { prepare } from "./database.ts";
import { translated } from "./errors.ts";
import { newest } from "./migrations/index.ts";
import { PostgresPollReader } from "./poll-reader.ts";
import { readState } from "./state-reader.ts";
import { PoolTransactions, READ, WRITE } from "./transactions.ts";

/** Connections of each kind. Writes take turns at the state's lock: the second waits there while the first is made durable. */
const MOST = { writing: 2, reading: 4, polling: 4 };

/**
 * Opens a PostgreSQL database. Any number of servers may have it open.
 *
 * @throws MailError unavailable: not reached, user or certificate refused, and as prepare()
 */
export async function openPostgresql(address: string, { create, passwordFile }: OpenOptions): Promise<Store> {
  const connections = new Connections(address, passwordFile);
  const client = await connections.open();
  try {
    await translated(() => prepare(client, address, create));
  } finally {
    await client.end();
  }
  return storeOn(connections);
}

function storeOn(connections: Connections): Store {
  const writing = new PoolTransactions(connections.pool(MOST.writing), WRITE);
  const reading = new PoolTransactions(connections.pool(MOST.reading), READ);
  const polling = connections.pool(MOST.polling);
  const contacts = connections.pool(1, { synchronous_commit: "off" });
  const polls = new PostgresPollReader(polling);
  const watch = new ChangeWatch(polls, connections);
  const transactions = tableTransactions(reading, writing);
  let closed: Promise<void> | undefined;
  const closeAll = async () => {
    transactions.stop();
    await watch.close();
    for (const part of [reading, writing]) await part.close();
    for (const pool of [polling, contacts]) await pool.end();
  };
  return {
    ...transactions,
    recordContacts: (seen) => recordContacts(contacts, seen),
    polls,
    onChange: (listener) => watch.on(listener),
    schema: newest,
    bytes: () => readBytes(polling),
    token: (tokenId) => readToken(polling, tokenId),
    readState: (view, since) => readState(connections, view, since),
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}

async function readBytes(pool: pg.Pool) {
  const { rows } = await translated(() =>
    pool.query<{ database: number }>("SELECT pg_database_size(current_database()) AS database"),
  );
  return { database: rows[0]?.database ?? 0 };
}

const TOKEN = { name: "token", text: "SELECT * FROM tokens WHERE token_id = $1" };

async function readToken(pool: pg.Pool, tokenId: string) {
  const { rows } = await translated(() =>
    pool.query<Selectable<Schema["tokens"]>>({ ...TOKEN, values: [tokenId] }),
  );
  return rows[0] && toToken(rows[0]);
}
