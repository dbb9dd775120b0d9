import type { Kysely } from "kysely";
import type pg from "pg";
import type { Schema } from "../schema.ts";
import type { StateRow } from "../state.ts";
import type { Transactions } from "../transactions.ts";
import { failure, isBroken, unknownOutcome } from "./errors.ts";
import { kyselyOn } from "./kysely.ts";
import type { Pool } from "./pool.ts";

/** One state of the database, whatever is committed meanwhile. */
export const READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/** The state row is the one lock of all servers: each statement after it sees all that was committed before. */
export const WRITE = "BEGIN; SELECT * FROM state FOR UPDATE";

/** ms for the answer to a statement that takes no time, or waits for the lock at most: the connection may be cut without a word. */
const ANSWER_SOON = 8_000;

export function soon(query: pg.QueryConfig): pg.QueryConfig {
  return Object.assign(query, { query_timeout: ANSWER_SOON });
}

/** Runs each transaction on a connection of a pool. */
export class PoolTransactions implements Transactions {
  readonly #pool: Pool;
  readonly #begin: string;

  constructor(pool: Pool, begin: typeof READ | typeof WRITE) {
    this.#pool = pool;
    this.#begin = begin;
  }

  async run<T>(fn: (db: Kysely<Schema>, state?: StateRow) => Promise<T>): Promise<T> {
    let client: pg.PoolClient | undefined;
    let isSettled = false;
    try {
      client = await this.#pool.connect();
      try {
        const state = await begin(client, this.#begin);
        const result = await fn(kyselyOn(client), state);
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
      client?.release(!isSettled); // an unsettled connection is closed
    }
  }
}

/** @returns the state's row, if `statements` reads it */
async function begin(client: pg.PoolClient, statements: string): Promise<StateRow | undefined> {
  const results = await client.query<StateRow>(soon({ text: statements }));
  return [results].flat().at(-1)?.rows[0];
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
    await client.query(soon({ text: "ROLLBACK" }));
    return true;
  } catch {
    return false;
  }
}
