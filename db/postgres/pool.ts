import pg from "pg";
import type { Hosts } from "./hosts.ts";

/** Connections to the primary, whichever host that is. */
export class Pool {
  readonly #pool: pg.Pool;
  readonly #hosts: Hosts;

  /** @param onConnect refuses connections by throwing */
  constructor(hosts: Hosts, config: pg.PoolConfig, onConnect: (client: pg.ClientBase) => Promise<void>) {
    class Client extends pg.Client {
      constructor() {
        super({ ...config, ...hosts.now });
        this.on("error", () => {}); // the query under way reports it; without a listener it would end the process
      }
    }
    // The limit on a new connection's time must not limit the wait for a turn, too.
    this.#pool = new pg.Pool({ ...config, Client, connectionTimeoutMillis: 0, onConnect });
    this.#pool.on("error", () => {}); // an idle connection broke: the next query makes another
    this.#hosts = hosts;
  }

  /** Connections that are in use, that are not, and callers that wait for one. */
  get counts() {
    const { totalCount, idleCount, waitingCount } = this.#pool;
    return { busy: totalCount - idleCount, idle: idleCount, waiting: waitingCount };
  }

  connect(): Promise<pg.PoolClient> {
    return this.#hosts.try(() => this.#pool.connect());
  }

  async query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    const client = await this.connect();
    let isSettled = false;
    try {
      const result = await client.query<Row>(query);
      isSettled = true;
      return result;
    } finally {
      client.release(!isSettled);
    }
  }

  async end(): Promise<void> {
    await this.#pool.end();
  }
}
