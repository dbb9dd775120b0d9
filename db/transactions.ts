import { Kysely, SqliteDialect } from "kysely";
import { BUSY_TIMEOUT, type Connection, patiently, unavailable } from "./file.ts";
import type { Schema } from "./schema.ts";
import { keepingStatements } from "./statements.ts";

/** Transactions on one connection, one at a time: the next begins when the last has ended. */
export class Transactions {
  readonly #connection: Connection;
  readonly #db: Kysely<Schema>;
  /** Not by way of Kysely: they would cost as much there as a list's own queries. */
  readonly #begin;
  readonly #commit;
  readonly #rollback;

  /**
   * @param kind a write must be IMMEDIATE: a deferred one that reads first fails at once when another process wrote
   *   meanwhile (SQLITE_BUSY_SNAPSHOT)
   */
  constructor(connection: Connection, kind: "DEFERRED" | "IMMEDIATE") {
    this.#connection = connection;
    this.#db = new Kysely({ dialect: new SqliteDialect({ database: keepingStatements(connection) }) });
    this.#begin = connection.prepare(`BEGIN ${kind}`);
    this.#commit = connection.prepare("COMMIT");
    this.#rollback = connection.prepare("ROLLBACK");
  }

  /** Runs `fn` in a transaction of its own; rejects with MailError unavailable where disk or file fail. */
  run<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    // From here on, so that those who queue behind each other do not each wait that long in turn.
    const deadline = performance.now() + BUSY_TIMEOUT;
    return this.#db.connection().execute(async (db) => {
      try {
        await patiently(async () => this.#begin.run(), deadline);
        try {
          const result = await fn(db);
          this.#commit.run();
          return result;
        } catch (error) {
          // A full disk makes SQLite roll back by itself.
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

  /** Closes the connection, after every transaction that was begun before. */
  async close(): Promise<void> {
    await this.between(async () => {});
    await this.#db.destroy();
  }
}
