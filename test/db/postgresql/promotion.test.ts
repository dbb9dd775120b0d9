import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { type Cluster, POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { serveProcess } from "../../support/program.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";

interface World {
  primary: Cluster;
  standby: Cluster;
  /** Both hosts, as an operator names them. */
  address: string;
}

async function world(settings = ""): Promise<World> {
  const primary = testCluster();
  await primary.query("postgres", "CREATE DATABASE mail");
  const standby = await primary.standby();
  if (settings !== "") {
    await primary.query("postgres", settings);
    await primary.query("postgres", "SELECT pg_reload_conf()");
  }
  const address = `postgres:///mail?host=${primary.folder},${standby.folder}&user=postgres`;
  return { primary, standby, address };
}

async function operatorOf(address: string) {
  const store = await openDatabase(address, { create: true });
  onTestFinished(() => store.close());
  return testRuntime(store);
}

const replicated = ({ primary }: World) =>
  expect
    .poll(() =>
      primary.query(
        "postgres",
        "SELECT 1 FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn() AND state = 'streaming'",
      ),
    )
    .not.toEqual([]);

describe.skipIf(POSTGRESQL === undefined)("when a standby is promoted", () => {
  test("a change that an asynchronous one lacks is gone from nodes too: the history is new, and the start has warned", async () => {
    const whole = await world();
    const { primary, standby, address } = whole;
    const { store, must } = await operatorOf(address);
    await must("add-domain", { domain: "kept.nl" });
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const server = await serveProcess(address, ["--folder", temporaryFolder()]);
    await server.says(/may lose the last changes/);
    const node = new SyncingNode(server.url, key);
    await replicated(whole);
    standby.control("stop"); // the link is cut
    await must("add-domain", { domain: "lost.nl" });
    await node.poll();
    expect([...(node.state?.domains.keys() ?? [])].sort()).toEqual(["kept.nl", "lost.nl"]);
    const former = node.state;
    await primary.kill();
    standby.control("start");
    await standby.promote();
    await expect.poll(async () => (await node.poll()).status).toBe(200);
    expect([...(node.state?.domains.keys() ?? [])]).toEqual(["kept.nl"]);
    expect(node.state?.history).not.toBe(former?.history);
    // The revision of the lost change is used anew, for another one.
    expect(await must("add-domain", { domain: "next.nl" })).toMatchObject({ revision: former?.revision });
    const late = new SyncingNode(server.url, key);
    late.state = former;
    expect(await late.poll()).toMatchObject({ kind: "snapshot" });
    expect([...(late.state?.domains.keys() ?? [])].sort()).toEqual(["kept.nl", "next.nl"]);
    expect(await store.figures()).toMatchObject({ timeline: 2, isSynchronous: false });
    const entries = await store.read(({ audit }) => audit.page(100, {}, undefined));
    expect(entries.filter(({ tool }) => tool === "start-history")).toMatchObject([
      { principal: "fail-over", arguments: { former: "00000001", timeline: "00000002" } },
    ]);
  });

  test("a synchronous one has every acknowledged change, and both servers go on there", async () => {
    const whole = await world("ALTER SYSTEM SET synchronous_standby_names = '*'");
    const { primary, standby, address } = whole;
    const here = await operatorOf(address);
    const there = await operatorOf(address);
    expect(await here.store.figures()).toMatchObject({ isSynchronous: true });
    const acknowledged: string[] = [];
    let isOver = false;
    const storm = [here, there, here, there].map(async ({ run }, place) => {
      for (let n = 0; !isOver; n += 1) {
        const domain = `d${place}-${n}.nl`;
        if ((await run("add-domain", { domain })).ok) acknowledged.push(domain);
      }
    });
    await expect.poll(() => acknowledged.length).toBeGreaterThan(20);
    await primary.kill();
    const before = acknowledged.length;
    await standby.promote();
    await standby.query("postgres", "ALTER SYSTEM SET synchronous_standby_names = ''");
    await standby.query("postgres", "SELECT pg_reload_conf()");
    await expect.poll(() => acknowledged.length).toBeGreaterThan(before + 20);
    isOver = true;
    await Promise.all(storm);
    const names = await there.store.read(({ domains }) => domains.named(acknowledged, acknowledged.length));
    expect(names.length).toBe(acknowledged.length);
    const [{ count, last } = {}] = await standby.query(
      "mail",
      "SELECT count(*)::int AS count, max(revision)::int AS last FROM revisions",
    );
    expect(count).toBe(Number(last) + 1);
    expect([...here.bugs, ...there.bugs]).toEqual([]);
  });

  test("a standby and a former primary answer nothing", async () => {
    const { primary, standby, address } = await world();
    const { run } = await operatorOf(address);
    const alone = (cluster: Cluster) =>
      openDatabase(cluster.address("mail"), { create: true }).then(
        (opened) => opened.close(),
        (error: unknown) => error,
      );
    await expect
      .poll(() => standby.query("mail", "SELECT 1 FROM pg_namespace WHERE nspname = 'm25_mail'"))
      .not.toEqual([]);
    expect(await alone(standby)).toMatchObject({ message: expect.stringContaining("is a standby") });
    await primary.kill();
    await standby.promote();
    await expect.poll(() => run("add-domain", { domain: "here.nl" })).toMatchObject({ ok: true });
    primary.control("start");
    await standby.kill();
    await expect
      .poll(() => run("add-domain", { domain: "there.nl" }))
      .toMatchObject({ ok: false, error: { message: expect.stringContaining("is a former primary") } });
    expect(await primary.query("mail", "SELECT 1 FROM domains")).toEqual([]);
  });
});
