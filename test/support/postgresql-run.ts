import { openDatabase } from "../../db/open.ts";
import { Cluster, RUN_FOLDER, TEMPLATE } from "./postgresql.ts";

/** Starts the cluster of a whole run: each test copies a database of its own there. */
export default async function setup(): Promise<() => void> {
  const cluster = Cluster.start();
  process.env[RUN_FOLDER] = cluster.folder;
  await cluster.query("postgres", `CREATE DATABASE "${TEMPLATE}"`);
  const store = await openDatabase(cluster.address(TEMPLATE), { create: true });
  await store.close();
  return () => cluster.remove();
}
