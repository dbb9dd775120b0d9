import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { serveProcess } from "../../support/program.ts";
import { PASSWORD, temporaryFolder, testRuntime } from "../../support/store.ts";
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

  test("a change that fails with its last statements changes nothing, and says so; cut off there, it may have been done", async () => {
    const { cluster, must, run, bugs } = await world();
    await must("add-domain", { domain: "a.nl" });
    const atRevision = (statement: string) =>
      cluster.query(
        "cut",
        `CREATE OR REPLACE FUNCTION at_revision() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ${statement}; RETURN NEW; END$$;
         CREATE OR REPLACE TRIGGER at_revision BEFORE INSERT ON revisions FOR EACH ROW EXECUTE FUNCTION at_revision()`,
      );
    const add = (name: string) => run("add-user", { email: `${name}@a.nl`, password: PASSWORD });
    await atRevision("RAISE disk_full");
    expect(await add("full")).toMatchObject({ error: { message: "The disk with the database is full." } });
    await atRevision("PERFORM pg_terminate_backend(pg_backend_pid())");
    expect(await add("cut")).toMatchObject({
      error: { message: "The connection to the database broke while the change was committed." },
    });
    await atRevision("NULL");
    expect(await add("kept")).toMatchObject({ ok: true });
    const rows = await cluster.query(
      "cut",
      `SELECT local_part, users.revision = state.revision AS newest, user_count::int FROM users CROSS JOIN state`,
    );
    expect(rows).toEqual([{ local_part: "kept", newest: true, user_count: 1 }]);
    const entries = await cluster.query("cut", "SELECT arguments FROM audit_log WHERE tool = 'add-user'");
    expect(entries.map((entry) => JSON.parse(String(entry.arguments)).email)).toEqual(["kept@a.nl"]);
    expect(bugs).toEqual([]);
  });

  test("a change whose wait for the lock is ended is refused in plain words, and the next one is done", async () => {
    const { cluster, store, must, run, bugs } = await world();
    await must("add-domain", { domain: "a.nl" });
    const refused = await store.write(async ({ state }) => {
      await state.revision(); // the lock is taken
      const waiting = run("add-user", { email: "late@a.nl", password: PASSWORD });
      const end = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
      await expect.poll(() => cluster.query("cut", end)).not.toEqual([]);
      return waiting;
    });
    expect(refused).toMatchObject({
      error: { code: "unavailable", message: "The database cannot be reached." },
    });
    await must("add-user", { email: "next@a.nl", password: PASSWORD });
    expect(await cluster.query("cut", "SELECT local_part FROM users")).toEqual([{ local_part: "next" }]);
    expect(bugs).toEqual([]);
  });

  test("a node that asks while PostgreSQL is away is told to come back in five seconds", async () => {
    const { cluster, address, must } = await world();
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const server = await serveProcess(address, ["--folder", temporaryFolder()]);
    const node = new SyncingNode(server.url, key);
    await node.poll();
    cluster.control("stop");
    const { status, headers } = await node.poll();
    expect([status, headers.get("retry-after")]).toEqual([503, "5"]);
    cluster.control("start");
    await expect.poll(async () => (await node.poll()).status).toBe(304);
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
