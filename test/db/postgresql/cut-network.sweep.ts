import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { certificate } from "../../support/certificate.ts";
import { testNetwork } from "../../support/network.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { serveProcess } from "../../support/program.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";

/** The two ends of a network between this machine and PostgreSQL's own. Nothing else uses these addresses. */
const NEAR = "10.213.7.1";
const FAR = "10.213.7.2";

/** PostgreSQL in a network namespace, with TLS. */
async function farDatabase() {
  const cluster = testCluster();
  await cluster.query("postgres", "CREATE DATABASE mail");
  await cluster.query("postgres", "CREATE ROLE m25 LOGIN SUPERUSER PASSWORD 'far away'");
  const { cert, key } = certificate("db.example", FAR);
  const data = join(cluster.folder, "data");
  const own = ["install", "-o", "postgres", "-m", "600"];
  execFileSync("env", [...own, cert, join(data, "server.crt")]);
  execFileSync("env", [...own, key, join(data, "server.key")]);
  writeFileSync(join(data, "pg_hba.conf"), `local all all trust\nhostssl all m25 ${NEAR}/32 scram-sha-256\n`);
  cluster.control("stop");
  const { name, cut, mend } = testNetwork(NEAR, FAR);
  cluster.network = { name, address: FAR };
  cluster.control("start");
  onTestFinished(() => cluster.control("stop"));
  const folder = temporaryFolder();
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, "far away\n");
  return {
    address: `postgres://m25@${FAR}/mail`,
    trusted: `?sslrootcert=${cert}`,
    passwordFile,
    folder,
    cut,
    mend,
  };
}

const isRoot = process.geteuid?.() === 0;

describe.skipIf(POSTGRESQL === undefined || !isRoot)("PostgreSQL on another machine", () => {
  test("is refused while its certificate cannot be verified", async () => {
    const { address, passwordFile } = await farDatabase();
    await expect(openDatabase(address, { create: true, passwordFile })).rejects.toMatchObject({
      code: "unavailable",
      message: "PostgreSQL's certificate cannot be verified.",
    });
  });

  test.each(["a moment", "longer than anything waits"])(
    "when the network is cut for %s, changes and nodes go on after its return",
    async (length) => {
      const { address, trusted, passwordFile, folder, cut, mend } = await farDatabase();
      const store = await openDatabase(`${address}${trusted}`, { create: true, passwordFile });
      onTestFinished(() => store.close());
      const { must, run } = testRuntime(store);
      const key = String((await must("add-node", { name: "pi" })).sync_key);
      const flags = ["--folder", folder, "--db-password-file", passwordFile];
      const server = await serveProcess(`${address}${trusted}`, flags);
      const node = new SyncingNode(server.url, key);
      await node.poll();
      const waiting = node.poll({ prefer: "wait=55" });
      cut();
      const under = run("add-domain", { domain: "under.nl" });
      if (length !== "a moment") expect(await under).toMatchObject({ error: { code: "unavailable" } });
      mend();
      const began = performance.now();
      await expect.poll(() => run("add-domain", { domain: "after.nl" })).toMatchObject({ ok: true });
      const changed = performance.now();
      await waiting.catch(() => {}); // the loss may have ended it
      await expect
        .poll(async () => {
          await node.poll();
          return [...(node.state?.domains.keys() ?? [])];
        })
        .toContain("after.nl");
      const back = [changed, performance.now()].map((at) => Math.round(at - began));
      process.stdout.write(`cut for ${length}: changes after ${back[0]} ms, nodes after ${back[1]} ms\n`);
      await under;
    },
  );
});
