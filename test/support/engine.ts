import { openDatabase } from "../../db/open.ts";
import { openStore } from "../../db/sqlite/store.ts";
import type { Store } from "../../db/store.ts";
import { runCluster } from "./postgresql.ts";

/** The one choice of the engine under test: `npm run test:postgresql` makes it. */
export const onPostgresql = process.env.M25_MAIL_TEST_ENGINE === "postgresql";

const made = new Map<string, Promise<string>>();
const files = new Map<string, string>();

/** The name that databaseAt() knows a database by: a second server on it is given its address. */
export function nameOf(database: string): string {
  return files.get(database) ?? database;
}

/** The database of this name, or with this address: a file there, or one of the run's PostgreSQL. */
export async function databaseAt(file: string): Promise<string> {
  if (!onPostgresql || files.has(file)) return file;
  const database = made.get(file) ?? runCluster().lend();
  made.set(file, database);
  files.set(await database, file);
  return database;
}

/** Opens the database of this name, which the engine under test has. */
export function openTestStore(file: string, options: { create: boolean } = { create: true }): Store {
  if (!onPostgresql) return openStore(file, options);
  return opening(databaseAt(file).then((database) => openDatabase(database, options)));
}

/** A store that waits in each call until it is open. */
function opening(opened: Promise<Store>): Store {
  opened.catch(() => {}); // each call reports it
  let store: Store | undefined;
  void opened.then(
    (one) => {
      store = one;
    },
    () => {},
  );
  const known = () => {
    if (store === undefined) throw new Error("the store is not open yet");
    return store;
  };
  return {
    read: async (...given) => (await opened).read(...given),
    write: async (...given) => (await opened).write(...given),
    writeInBatches: async (...given) => (await opened).writeInBatches(...given),
    eraseHidden: async () => (await opened).eraseHidden(),
    recordContacts: async (contacts) => (await opened).recordContacts(contacts),
    polls: {
      look: async () => (await opened).polls.look(),
      latest: () => store?.polls.latest() ?? "",
    },
    onChange: (listener) => known().onChange(listener),
    get schema() {
      return known().schema;
    },
    engine: "postgresql",
    figures: async () => (await opened).figures(),
    token: async (id) => (await opened).token(id),
    readState: async (...given) => (await opened).readState(...given),
    close: async () => (await opened).close(),
  };
}
