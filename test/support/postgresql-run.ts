import { Cluster, RUN_FOLDER } from "./postgresql.ts";

/** Starts the cluster of a whole run: each test makes a database of its own there. */
export default function setup(): () => void {
  const cluster = Cluster.start();
  process.env[RUN_FOLDER] = cluster.folder;
  return () => cluster.remove();
}
