import { setTimeout } from "node:timers/promises";
import { Kysely, SqliteDialect } from "kysely";
import type { Schema } from "../schema.ts";
import type { Connection } from "./connection.ts";
import { BUSY_TIMEOUT, retryWhileBusy, unavailable } from "./errors.ts";
import { cachedStatements } from "./statement-cache.ts";

/** ms between two batches. */
const SHORTEST_REST = 15;

/** Runs transactions on one connection, one after another. */
export class Transactions {
  readonly #connection: Connection;
  readonly #db: Kysely<Schema>;
  /** Prepared without Kysely, where they would cost as much as a list's own queries. */
  readonly #begin;
  readonly #commit;
  readonly #rollback;

  /**
   * @param kind IMMEDIATE for writes: a deferred one that reads first fails at once if another process wrote meanwhile
   *   (SQLITE_BUSY_SNAPSHOT)
   */
  constructor(connection: Connection, kind: "DEFERRED" | "IMMEDIATE") {
    this.#connection = connection;
    this.#db = new Kysely({ dialect: new SqliteDialect({ database: cachedStatements(connection) }) });
    this.#begin = connection.prepare(`BEGIN ${kind}`);
    this.#commit = connection.prepare("COMMIT");
    this.#rollback = connection.prepare("ROLLBACK");
  }

  /** Runs `fn` in its own transaction. Rejects with MailError unavailable when disk or file fail. */
  run<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    // Count from here, so that queued transactions do not each wait that long in turn.
    const deadline = performance.now() + BUSY_TIMEOUT;
    return this.#db.connection().execute(async (db) => {
      try {
        await retryWhileBusy(async () => this.#begin.run(), deadline);
        try {
          const result = await fn(db);
          this.#commit.run();
          return result;
        } catch (error) {
          // On a full disk SQLite has rolled back by itself.
          if (this.#connection.inTransaction) this.#rollback.run();
          throw error;
        }
      } catch (error) {
        throw unavailable(error) ?? error;
      }
    });
  }

  /** Repeats `batch`, each time in its own transaction, until it or `goesOn` returns false. */
  async runInBatches(
    batch: (db: Kysely<Schema>) => Promise<boolean>,
    goesOn: () => boolean = () => true,
  ): Promise<void> {
    while (goesOn()) {
      const began = performance.now();
      if (!(await this.run(batch))) return;
      // Rest as long as the batch took: other processes try the lock every 10 ms and would hardly ever get it.
      await setTimeout(Math.max(SHORTEST_REST, performance.now() - began));
    }
  }

  /** Runs `fn` between two transactions. */
  between<T>(fn: () => Promise<T>): Promise<T> {
    return this.#db.connection().execute(fn);
  }

  /** Closes the connection after all transactions that were begun before. */
  async close(): Promise<void> {
    await this.between(async () => {});
    await this.#db.destroy();
  }
}
