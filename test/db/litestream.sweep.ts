import { spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { openStore } from "../../db/sqlite/store.ts";
import { packages } from "../clients/installed.ts";
import { ROOT, textOf } from "../docs/pages.ts";
import { collect, killed, serveProcess } from "../support/program.ts";
import { temporaryFolder, testRuntime } from "../support/store.ts";
import { SyncingNode } from "../support/syncing-node.ts";
import { client, more } from "./postgresql/storm.ts";

const PROGRAM = join(packages, `@flydotio/litestream-${process.platform}-${process.arch}`, "litestream");

/** The configuration that the page shows, with other paths. */
function configuration(database: string, copy: string): string {
  const [, shown = ""] = /^```yaml\n(dbs:.*?)^```$/ms.exec(textOf("docs/operations.md")) ?? [];
  expect(shown).toContain("/mnt/other");
  return shown.replace(/\/var\/lib\/\S+/, database).replace(/\/mnt\/other\S*/, copy);
}

/** The domains that a copy which is restored now does not have. */
async function missingIn(restore: (file: string) => Promise<unknown>, domains: readonly string[]) {
  const file = join(temporaryFolder(), "m25-mail.db");
  await restore(file);
  if (!existsSync(file)) return domains; // nothing has been copied yet
  const store = openStore(file, { create: false });
  const found = await store.read((tables) => tables.domains.named(domains, domains.length));
  await store.close();
  return domains.filter((domain) => !found.includes(domain));
}

test.skipIf(!existsSync(PROGRAM))(
  "a server that is lost with its disk goes on from Litestream's copy, and nodes follow it",
  async () => {
    const [folder, elsewhere] = [temporaryFolder(), temporaryFolder()];
    const database = join(folder, "m25-mail.db");
    const config = join(folder, "litestream.yml");
    writeFileSync(config, configuration(database, join(elsewhere, "copy")));
    const litestream = (...args: string[]) => {
      const child = spawn(PROGRAM, [args[0] ?? "", "-config", config, ...args.slice(1)], { cwd: ROOT });
      return { child, ...collect(child) };
    };

    const store = openStore(database, { create: true });
    const { must } = testRuntime(store);
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const token = String((await must("create-token", { name: "assistant" })).token);
    await store.close();
    const server = await serveProcess(database);
    const copying = litestream("replicate");

    let isOver = false;
    const storm = client(server.url, token, "d", () => isOver);
    // Longer than the server leaves its write-ahead log alone.
    await pause(40_000);
    await more([storm], 100);
    const early = [...storm.acknowledged];
    const restore = (file: string) => litestream("restore", "-o", file, database).finished;
    await expect.poll(() => missingIn(restore, early)).toEqual([]);
    const node = new SyncingNode(server.url, key);
    await more([storm], 20);
    await node.poll();
    await Promise.all([killed(server.child), killed(copying.child)]);
    isOver = true;
    storm.ended.catch(() => {}); // its server is gone

    const restored = join(elsewhere, "m25-mail.db");
    const { code, stderr } = await restore(restored);
    expect(code, stderr).toBe(0);
    // Where a disk is slow, Litestream may not get between the changes for a second. It tries again, and nothing is missing.
    const faults = copying.said.stdout.split("\n").filter((line) => /ERROR|WARN/.test(line));
    expect(faults.filter((line) => !line.includes("database is locked"))).toEqual([]);
    expect(copying.said.stdout.match(/write snapshot/g), "copies of the whole file").toHaveLength(1);

    const second = await serveProcess(restored);
    const follower = new SyncingNode(second.url, key);
    follower.state = node.state;
    await expect
      .poll(async () => {
        await follower.poll();
        return follower.state?.digest === (await follower.everything()).digest;
      })
      .toBe(true);
    expect(early.filter((domain) => follower.state?.domains.has(domain) !== true)).toEqual([]);
    expect(storm.acknowledged.length).toBeGreaterThan(early.length);
  },
);
