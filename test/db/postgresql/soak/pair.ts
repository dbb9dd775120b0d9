import { expect } from "vitest";
import { type Cluster, testCluster } from "../../../support/postgresql.ts";

/**
 * Two PostgreSQL that take turns as the primary. Its standby has every acknowledged change, as with Patroni's synchronous mode: a
 * primary waits for its standby as long as it has one.
 */
export class Pair {
  #primary: Cluster;
  #standby: Cluster;
  /** Names both hosts. */
  readonly address: string;

  private constructor(primary: Cluster, standby: Cluster) {
    this.#primary = primary;
    this.#standby = standby;
    this.address = `postgres:///mail?host=${primary.folder},${standby.folder}&user=postgres`;
  }

  /** Makes both, with an empty database, until the test ends. */
  static async start(): Promise<Pair> {
    const primary = testCluster();
    await primary.query("postgres", "CREATE DATABASE mail");
    const pair = new Pair(primary, await primary.standby());
    await pair.#waitForStandby();
    return pair;
  }

  query(text: string) {
    return this.#primary.query("mail", text);
  }

  /** Kills the primary and promotes its standby. */
  async failOver(): Promise<void> {
    await this.#primary.kill();
    await confirmedBy(this.#standby, ""); // it has no standby until the former primary is one
    await this.#standby.promote();
    [this.#primary, this.#standby] = [this.#standby, this.#primary];
  }

  /** Runs `meanwhile` while the former primary is back by itself and the new one is away. */
  async startFormer(meanwhile: () => Promise<void>): Promise<void> {
    this.#standby.control("start");
    await confirmedBy(this.#standby, ""); // else it would acknowledge nothing, whoever asks
    this.#primary.control("stop");
    await meanwhile();
    this.#primary.control("start");
    this.#standby.control("stop");
  }

  /** Makes the former primary the standby. */
  async rejoin(): Promise<void> {
    await this.#standby.follow(this.#primary);
    await this.#waitForStandby();
  }

  async #waitForStandby(): Promise<void> {
    await confirmedBy(this.#primary, "*");
    const caughtUp = `SELECT 1 FROM pg_stat_replication
      WHERE sync_state = 'sync' AND flush_lsn >= pg_current_wal_lsn()`;
    await expect.poll(() => this.query(caughtUp)).not.toEqual([]);
  }
}

async function confirmedBy(cluster: Cluster, names: "" | "*"): Promise<void> {
  await cluster.query("postgres", `ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await cluster.query("postgres", "SELECT pg_reload_conf()");
}
