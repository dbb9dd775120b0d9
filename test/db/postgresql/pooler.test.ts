import { spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { PGBOUNCER } from "../../support/needs.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { collect } from "../../support/program.ts";
import { temporaryFolder } from "../../support/store.ts";

const PORT = 6432; // names its socket only

/** The address of a cluster's databases through PgBouncer. */
async function throughPooler(cluster: ReturnType<typeof testCluster>, settings: string): Promise<string> {
  const folder = temporaryFolder();
  const owner = statSync(cluster.folder).uid;
  chmodSync(folder, 0o755);
  chownSync(folder, owner, -1);
  const file = join(folder, "pgbouncer.ini");
  writeFileSync(
    file,
    `[databases]
* = host=${cluster.folder} user=postgres
[pgbouncer]
unix_socket_dir = ${folder}
listen_port = ${PORT}
auth_type = any
pool_mode = transaction
${settings}
`,
  );
  collect(spawn(PGBOUNCER, [file], { uid: owner }));
  await expect.poll(() => existsSync(join(folder, `.s.PGSQL.${PORT}`))).toBe(true);
  return `postgres:///mail?host=${folder}&port=${PORT}&user=postgres`;
}

describe.skipIf(POSTGRESQL === undefined || !existsSync(PGBOUNCER))("a database behind PgBouncer", () => {
  test.each([
    ["as it is installed", ""],
    ["that ignores the settings of sessions", "ignore_startup_parameters = options"],
  ])("is refused in plain words, by one %s", async (_, settings) => {
    const cluster = testCluster();
    await cluster.query("postgres", "CREATE DATABASE mail");
    const address = await throughPooler(cluster, settings);
    await expect(openDatabase(address, { create: true })).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("pooler such as PgBouncer"),
    });
    expect(
      await cluster.query("mail", "SELECT relname FROM pg_class WHERE relname = 'schema_version'"),
    ).toEqual([]);
    const store = await openDatabase(cluster.address("mail"), { create: true });
    await store.close();
  });
});
