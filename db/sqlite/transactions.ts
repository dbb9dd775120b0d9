import { Kysely, SqliteDialect } from "kysely";
import type { Schema } from "../schema.ts";
import type { Transactions, Work } from "../transactions.ts";
import type { Connection } from "./connection.ts";
import { BUSY_TIMEOUT, retryWhileBusy, unavailable } from "./errors.ts";
import { cachedStatements } from "./statement-cache.ts";

/** Runs transactions on one connection, one after another. */
export class FileTransactions implements Transactions {
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

  run<T>(work: Work<T>): Promise<T> {
    // Count from here, so that queued transactions do not each wait that long in turn.
    const deadline = performance.now() + BUSY_TIMEOUT;
    return this.#db.connection().execute(async (db) => {
      try {
        await retryWhileBusy(async () => this.#begin.run(), deadline);
        try {
          const { result, last } = await work(db);
          for (const statement of last) await db.executeQuery(statement);
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
