import { setTimeout } from "node:timers/promises";
import type { CompiledQuery, Kysely } from "kysely";
import { MailError } from "../src/mail/error.ts";
import type { Schema } from "./schema.ts";
import type { StateRow } from "./state.ts";
import type { Store, Tables } from "./store.ts";
import { tablesOf } from "./tables.ts";

/** ms between two batches. */
const SHORTEST_REST = 15;
/** ms between two looks for hidden domains to erase. */
const ERASE_EVERY = 5_000;

/** Transactions of one kind, on an engine's connections. */
export interface Transactions {
  /** Runs `work` in its own transaction. Rejects with MailError unavailable when the database fails. */
  run<T>(work: Work<T>): Promise<T>;
}

/**
 * The statements of a transaction, but for its begin and end.
 *
 * @param state the state's row, if the engine reads it anyway
 */
export type Work<T> = (db: Kysely<Schema>, state?: Promise<StateRow>) => Promise<Done<T>>;

export interface Done<T> {
  result: T;
  /** Statements that are still to be run: PostgreSQL gets them in one round trip with the commit. */
  last: readonly CompiledQuery[];
}

/** Repeats `batch`, each time in its own transaction, until it or `goesOn` returns false. */
export async function runInBatches(
  transactions: Transactions,
  batch: Work<boolean>,
  goesOn: () => boolean,
): Promise<void> {
  while (goesOn()) {
    const began = performance.now();
    if (!(await transactions.run(batch))) return;
    // Rest as long as the batch took: other processes try SQLite's lock every 10 ms and would hardly ever get it.
    await setTimeout(Math.max(SHORTEST_REST, performance.now() - began));
  }
}

/** Runs `fn` on the tables of a transaction. */
function onTables<T>(fn: (tables: Tables) => Promise<T>, within?: ReadonlySet<string>): Work<T> {
  return async (db, state) => {
    const tables = tablesOf(db, within, state);
    const result = await fn(tables);
    return { result, last: await tables.state.unsaved() };
  };
}

type TableTransactions = Pick<Store, "read" | "write" | "writeInBatches" | "eraseHidden"> & {
  /** Refuses further transactions. */
  stop(): void;
};

/** A store's transactions on its tables. It erases hidden domains by itself. */
export function tableTransactions(reading: Transactions, writing: Transactions): TableTransactions {
  let stopped = false;
  const run = <T>(
    transactions: Transactions,
    fn: (tables: Tables) => Promise<T>,
    within?: ReadonlySet<string>,
  ) => (stopped ? Promise.reject(stopping()) : transactions.run(onTables(fn, within)));
  const writeInBatches: Store["writeInBatches"] = (batch, stop) =>
    runInBatches(writing, onTables(batch), () => !stopped && stop?.aborted !== true);
  let erasing: Promise<void> | undefined;
  const eraseHidden = () => {
    erasing ??= run(reading, ({ hidden }) => hidden.due())
      .then((due) => (due === undefined ? undefined : writeInBatches(({ hidden }) => hidden.erase())))
      .finally(() => {
        erasing = undefined;
      });
    return erasing;
  };
  // By the clock: another process, a command that has ended since, may have removed the domain.
  const eraseRegularly = setInterval(() => {
    eraseHidden().catch(() => {}); // every write reports a full disk
  }, ERASE_EVERY).unref();
  return {
    read: (fn, within) => run(reading, fn, within),
    write: (fn, within) => run(writing, fn, within),
    writeInBatches,
    eraseHidden,
    stop() {
      stopped = true;
      clearInterval(eraseRegularly);
    },
  };
}

/** The refusal for calls that arrive, or end their hashing, after the program was told to stop. */
function stopping(): MailError {
  return new MailError(
    "unavailable",
    "The server is stopping.",
    "Nothing was changed. Try again in a minute.",
    { temporary: true },
  );
}
