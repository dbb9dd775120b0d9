import { join } from "node:path";
import { openDatabase } from "../../db/open.ts";
import { databaseAt } from "./engine.ts";
import { m25mail } from "./program.ts";
import { temporaryFolder, testRuntime } from "./store.ts";

/** A database with example.nl, and `m25-mail` with that database. */
export async function shell() {
  const folder = temporaryFolder();
  const database = await databaseAt(join(folder, "m25-mail.db"));
  const store = await openDatabase(database, { create: true });
  await testRuntime(store).must("add-domain", { domain: "example.nl" });
  await store.close();
  const run = (args: readonly string[], input = "") => m25mail([...args, "--db", database], { input });
  return { folder, database, run };
}
