import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { serveProcess } from "../../support/program.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";

const CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'm25-mail'";

async function world() {
  const cluster = testCluster();
  const address = await cluster.database("cut");
  const store = await openDatabase(address, { create: true });
  onTestFinished(() => store.close());
  return { cluster, address, ...testRuntime(store) };
}

describe.skipIf(POSTGRESQL === undefined)("a database whose connections break", () => {
  test("a change whose commit is cut off says that it may have been done, and the next one is done", async () => {
    const { cluster, store, must } = await world();
    const refused = store.write(async ({ domains, state }) => {
      await domains.add("cut.nl", "2026-03-01T12:00:00.000Z");
      await state.save();
      await cluster.query("cut", CUT);
    });
    await expect(refused).rejects.toMatchObject({
      code: "unavailable",
      message: "The connection to the database broke while the change was committed.",
    });
    await must("add-domain", { domain: "next.nl" });
    expect(await cluster.query("cut", "SELECT name, revision::int FROM domains")).toEqual([
      { name: "next.nl", revision: 1 },
    ]);
  });

  test.each([
    ["all connections are ended", "cut"],
    ["PostgreSQL crashes and comes back", "restart"],
  ] as const)(
    "when %s, a waiting node gets the next change, and requests are answered again",
    async (_, how) => {
      const { cluster, address, must } = await world();
      const key = String((await must("add-node", { name: "pi" })).sync_key);
      const server = await serveProcess(address, ["--folder", temporaryFolder()]);
      const node = new SyncingNode(server.url, key);
      await node.poll();
      const health = async () => (await fetch(`${server.url}/healthz`)).json();
      expect(await health()).toEqual({ status: "ok", database: "postgresql", writes: true });
      const waiting = node.poll({ prefer: "wait=120" });
      await expect
        .poll(() => cluster.query("cut", "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
        .not.toEqual([]);
      if (how === "cut") await cluster.query("cut", CUT);
      else cluster.control("restart");
      await expect
        .poll(() => must("add-domain", { domain: "later.nl" }).catch(String))
        .toMatchObject({ domain: "later.nl" });
      // The loss may have ended the wait; a node then asks again.
      if ((await waiting).status !== 200) {
        await expect.poll(async () => (await node.poll()).status).toBe(200);
      }
      expect([...(node.state?.domains.keys() ?? [])]).toEqual(["later.nl"]);
      expect(server.child.exitCode).toBe(null);
    },
  );
});
