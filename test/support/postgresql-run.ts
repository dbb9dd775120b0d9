import { openDatabase } from "../../db/open.ts";
import { memoryFolder } from "./leftovers.ts";
import { CLEARABLE, Cluster, OF_A_RUN, POSTGRESQL, RUN_FOLDER, TEMPLATE } from "./postgresql.ts";

/** Starts the cluster of a whole run, in memory: each test gets a database of its own there. */
export default async function setup(): Promise<() => void> {
  if (POSTGRESQL === undefined) throw new Error("there is no PostgreSQL: apt-get install postgresql");
  const cluster = Cluster.start(OF_A_RUN, memoryFolder());
  process.env[RUN_FOLDER] = cluster.folder;
  await cluster.query("postgres", `CREATE DATABASE "${TEMPLATE}"`);
  const store = await openDatabase(cluster.address(TEMPLATE), { create: true });
  await store.close();
  await cluster.query(TEMPLATE, CLEARABLE);
  return () => cluster.remove();
}
