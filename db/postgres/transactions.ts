import { Kysely, PostgresDialect } from "kysely";
import type pg from "pg";
import type { Schema } from "../schema.ts";
import type { Transactions } from "../transactions.ts";
import { failure, isBroken, unknownOutcome } from "./errors.ts";

/** One state of the database, whatever is committed meanwhile. */
export const READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/** The state row is the one lock of all servers: each statement after it sees all that was committed before. */
export const WRITE = "BEGIN; SELECT 1 FROM state FOR UPDATE";

/** Runs each transaction on a connection of a pool. */
export class PoolTransactions implements Transactions {
  readonly #pool: pg.Pool;
  readonly #begin: string;
  readonly #kysely = new WeakMap<pg.PoolClient, Kysely<Schema>>();

  constructor(pool: pg.Pool, begin: typeof READ | typeof WRITE) {
    this.#pool = pool;
    this.#begin = begin;
  }

  async run<T>(fn: (db: Kysely<Schema>) => Promise<T>): Promise<T> {
    let client: pg.PoolClient | undefined;
    let isSettled = false;
    try {
      client = await this.#pool.connect();
      client.on("error", ignored);
      try {
        await client.query(this.#begin);
        const result = await fn(this.#kyselyOn(client));
        await commit(client);
        isSettled = true;
        return result;
      } catch (error) {
        isSettled = await rollBack(client);
        throw error;
      }
    } catch (error) {
      throw failure(error) ?? error;
    } finally {
      client?.off("error", ignored);
      client?.release(!isSettled); // an unsettled connection is closed
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }

  #kyselyOn(client: pg.PoolClient): Kysely<Schema> {
    let db = this.#kysely.get(client);
    if (db === undefined) {
      const connection = { query: client.query.bind(client), release() {} };
      const pool = { connect: async () => connection, end: async () => {} };
      db = new Kysely({ dialect: new PostgresDialect({ pool: pool as unknown as pg.Pool }) });
      this.#kysely.set(client, db);
    }
    return db;
  }
}

async function commit(client: pg.PoolClient): Promise<void> {
  try {
    await client.query("COMMIT");
  } catch (error) {
    throw isBroken(error) ? unknownOutcome() : error;
  }
}

/** @returns whether the connection can be used again */
async function rollBack(client: pg.PoolClient): Promise<boolean> {
  try {
    await client.query("ROLLBACK");
    return true;
  } catch {
    return false;
  }
}

/** The query under way reports it; without a listener it would end the process. */
const ignored = () => {};
