import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { serveProcess } from "../../support/program.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";
import { client, follow, more } from "./storm.ts";

/** ROUNDS=100 for a night. */
const ROUNDS = Number(process.env.ROUNDS ?? 3);

/** Changes that each server acknowledges between two promotions. */
const CHANGES = 20;

describe.skipIf(POSTGRESQL === undefined)(
  "two servers and two PostgreSQL, each of them in turn the primary",
  () => {
    test("lose no acknowledged change, whenever the primary is killed, and nodes end with the database's state", async () => {
      let [primary, standby] = [testCluster(), undefined as ReturnType<typeof testCluster> | undefined];
      await primary.query("postgres", "CREATE DATABASE mail");
      await primary.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'"); // copies have it, too
      await primary.query("postgres", "SELECT pg_reload_conf()");
      standby = primary.standby();
      const address = `postgres:///mail?host=${primary.folder},${standby.folder}&user=postgres`;
      const store = await openDatabase(address, { create: true });
      onTestFinished(() => store.close());
      const { must } = testRuntime(store);
      const key = String((await must("add-node", { name: "pi" })).sync_key);
      const serve = () => serveProcess(address, ["--folder", temporaryFolder()]);
      const servers = [await serve(), await serve()];
      let isOver = false;
      // Each has a limit of its own on calls.
      const tokens = ["a", "b", "c", "d"].map(async (name) => [
        name,
        (await must("create-token", { name })).token,
      ]);
      const storms = (await Promise.all(tokens)).map(([name, token], place) =>
        client(servers[place % 2]?.url ?? "", String(token), String(name), () => isOver),
      );
      const nodes = servers.map(({ url }) => new SyncingNode(url, key));
      const followed = nodes.map((node) => follow(node, () => isOver));
      for (let round = 0; round < ROUNDS; round += 1) {
        await more(storms, CHANGES);
        await primary.kill();
        standby.promote();
        primary.follow(standby);
        [primary, standby] = [standby, primary];
      }
      await more(storms, CHANGES);
      isOver = true;
      await Promise.all([...storms.map(({ ended }) => ended), ...followed]);
      const acknowledged = storms.flatMap((storm) => storm.acknowledged);
      const found = await store.read(({ domains }) => domains.named(acknowledged, acknowledged.length));
      expect(found.length).toBe(acknowledged.length);
      const [{ count, span } = {}] = await primary.query(
        "mail",
        "SELECT count(*)::int AS count, (max(revision) - min(revision) + 1)::int AS span FROM revisions",
      );
      expect(count).toBe(span);
      expect(await store.figures()).toMatchObject({ timeline: 1 + ROUNDS, isSynchronous: true });
      for (const node of nodes) {
        await node.poll();
        expect(node.state?.digest).toBe((await node.everything()).digest);
        expect(acknowledged.filter((domain) => node.state?.domains.has(domain) !== true)).toEqual([]);
      }
      process.stdout.write(`${ROUNDS} promotions, ${acknowledged.length} changes acknowledged\n`);
    });
  },
);
