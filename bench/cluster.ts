import { copyDatabase } from "../db/copy.ts";
import { Cluster } from "../test/support/postgresql.ts";
import { cleanup } from "./support.ts";

/** A PostgreSQL of the benchmark's own with a copy of a SQLite database, and the copy's address. */
export async function copyToPostgresql(database: string): Promise<{ cluster: Cluster; address: string }> {
  const cluster = Cluster.start("-c shared_buffers=512MB -c max_wal_size=4GB");
  cleanup(() => cluster.remove());
  await cluster.query("postgres", "CREATE DATABASE mail");
  const address = cluster.address("mail");
  await copyDatabase(database, address, undefined);
  await cluster.query("mail", "VACUUM ANALYZE");
  return { cluster, address };
}
