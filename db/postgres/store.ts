import type { Selectable } from "kysely";
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
import type { Pool } from "./pool.ts";
import { readState } from "./state-reader.ts";
import { PoolTransactions, READ, soon, WRITE } from "./transactions.ts";

/** Connections of each kind. Writes take turns at the state's lock: the second waits there while the first is made durable. */
const MOST = { writing: 2, reading: 4, polling: 4 };

/**
 * Opens a PostgreSQL database. Any number of servers may have it open.
 *
 * @throws MailError unavailable: not reached, user or certificate refused, and as prepare()
 */
export async function openPostgresql(address: string, { create, passwordFile }: OpenOptions): Promise<Store> {
  const connections = new Connections(address, passwordFile);
  const client = await connections.connect(async (one) => {
    await prepare(one, address, create);
    await connections.primary.admit(one);
  });
  await client.end();
  return storeOn(connections);
}

function storeOn(connections: Connections): Store {
  const pools = {
    writing: connections.pool(MOST.writing),
    reading: connections.pool(MOST.reading),
    polling: connections.pool(MOST.polling),
    contacts: connections.pool(1, { session: { synchronous_commit: "off" } }),
  };
  const { polling } = pools;
  const polls = new PostgresPollReader(polling);
  const watch = new ChangeWatch(polls, connections);
  const transactions = tableTransactions(
    new PoolTransactions(pools.reading, READ),
    new PoolTransactions(pools.writing, WRITE),
  );
  let closed: Promise<void> | undefined;
  const closeAll = async () => {
    transactions.stop();
    await watch.close();
    for (const pool of Object.values(pools)) await pool.end();
  };
  return {
    ...transactions,
    recordContacts: (seen) => recordContacts(pools.contacts, seen),
    polls,
    onChange: (listener) => watch.on(listener),
    schema: newest,
    engine: "postgresql",
    figures: async () => ({
      ...(await readFigures(polling)),
      timeline: connections.primary.timeline,
      connections: Object.fromEntries(Object.entries(pools).map(([name, { counts }]) => [name, counts])),
      signals: watch.signals,
    }),
    token: (tokenId) => readToken(polling, tokenId),
    readState: (view, since) => readState(connections, view, since),
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}

const FIGURES = {
  text: `SELECT pg_database_size(current_database()) AS database,
    current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')
      AS synchronous`,
};

async function readFigures(pool: Pool) {
  const { rows } = await translated(() => pool.query<{ database: number; synchronous: boolean }>(FIGURES));
  const [{ database, synchronous } = { database: 0, synchronous: false }] = rows;
  return { bytes: { database }, isSynchronous: synchronous };
}

const TOKEN = soon({ name: "token", text: "SELECT * FROM tokens WHERE token_id = $1" });

async function readToken(pool: Pool, tokenId: string) {
  const { rows } = await translated(() =>
    pool.query<Selectable<Schema["tokens"]>>({ ...TOKEN, values: [tokenId] }),
  );
  return rows[0] && toToken(rows[0]);
}
