import type { CompiledQuery } from "kysely";
import type pg from "pg";
import type { StateRow } from "../state.ts";
import { together } from "../together.ts";
import type { Transactions, Work } from "../transactions.ts";
import { failure, isBroken, unknownOutcome } from "./errors.ts";
import { kyselyOn, prepared } from "./kysely.ts";
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

  async run<T>(work: Work<T>): Promise<T> {
    let client: pg.PoolClient | undefined;
    let isSettled = false;
    try {
      client = await this.#pool.connect();
      const begun = client.query<StateRow>(soon({ text: this.#begin }));
      begun.catch(() => {}); // thrown below
      try {
        // The first statements are sent with the begin, and run after it: a change's see all that was committed before its lock.
        const { result, last } = await work(
          kyselyOn(client),
          this.#begin === WRITE ? stateOf(begun) : undefined,
        );
        await begun;
        await commit(client, last);
        isSettled = true;
        return result;
      } catch (error) {
        isSettled = await rollBack(client);
        await begun; // its failure is the reason for the others
        throw error;
      }
    } catch (error) {
      throw failure(error) ?? error;
    } finally {
      client?.release(!isSettled); // an unsettled connection is closed
    }
  }
}

/** The state's row, which the last of these statements reads. */
function stateOf(begun: Promise<pg.QueryResult<StateRow>>): Promise<StateRow> {
  const row = begun.then((results) => {
    const found = [results].flat().at(-1)?.rows[0];
    if (found === undefined) throw new Error("the state row is missing");
    return found;
  });
  row.catch(() => {}); // not every transaction needs it
  return row;
}

/** Sends the last statements with the commit. If the connection breaks from then on, only PostgreSQL knows the outcome. */
async function commit(client: pg.PoolClient, last: readonly CompiledQuery[]): Promise<void> {
  const statements = last.map(({ sql, parameters }) => client.query(prepared(sql, parameters)));
  try {
    await together(...statements, client.query("COMMIT"));
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
