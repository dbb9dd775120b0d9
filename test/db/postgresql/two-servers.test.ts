import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { stderrLog } from "../../../src/log/log.ts";
import { provideFirstToken } from "../../../src/program/first-token.ts";
import { http } from "../../support/http.ts";
import { type Cluster, POSTGRESQL, testCluster } from "../../support/postgresql.ts";
import { killed, type Server, serveProcess } from "../../support/program.ts";
import { isInstalled, startBalancer } from "../../support/proxies.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";

interface World {
  cluster: Cluster;
  servers: [Server, Server];
  /** The operator, beside the servers. */
  must: ReturnType<typeof testRuntime>["must"];
  token: string;
}

/** Two servers as they are shipped, on one database. */
async function world(...flags: string[]): Promise<World> {
  const cluster = testCluster();
  const address = await cluster.database("two");
  const store = await openDatabase(address, { create: true });
  onTestFinished(() => store.close());
  const { must } = testRuntime(store);
  const { token } = await must("create-token", { name: "all" });
  const serve = () => serveProcess(address, ["--folder", temporaryFolder(), ...flags]);
  const servers: [Server, Server] = [await serve(), await serve()];
  return { cluster, servers, must, token: String(token) };
}

async function api({ url }: Server, token: string, endpoint: string, body?: unknown): Promise<number> {
  const response = await fetch(`${url}/api/${endpoint}`, {
    method: body === undefined ? "GET" : "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  await response.text();
  return response.status;
}

const PASSWORD = "correct horse battery";

describe.skipIf(POSTGRESQL === undefined)("two servers on one database", () => {
  test("a revoked token, an ended key and a node's new role hold at both from the next request on", async () => {
    const { servers, must } = await world();
    const { token } = await must("create-token", { name: "short" });
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const both = async (ask: (server: Server) => Promise<number>) => Promise.all(servers.map(ask));
    const list = (server: Server) => api(server, String(token), "list-domains");
    const poll = async ({ url }: Server) => (await new SyncingNode(url, key).poll()).status;
    expect(await both(list)).toEqual([200, 200]);
    expect(await both(poll)).toEqual([200, 200]);
    await must("revoke-token", { name: "short" });
    expect(await both(list)).toEqual([401, 401]);
    await must("add-domain", { domain: "example.nl" });
    await must("add-user", { email: "jan@example.nl", password: PASSWORD });
    const body = async ({ url }: Server) => (await new SyncingNode(url, key).poll()).body;
    for (const text of await Promise.all(servers.map(body))) expect(text).toContain("BLF-CRYPT");
    await must("set-node", { name: "pi", role: "mx" });
    for (const text of await Promise.all(servers.map(body))) expect(text).not.toContain("BLF-CRYPT");
    await must("remove-node", { name: "pi" });
    expect(await both(poll)).toEqual([401, 401]);
  });

  test("two that start together on an empty database make one first token, and both go on", async () => {
    const address = await testCluster().database("empty");
    const stores = [
      await openDatabase(address, { create: true }),
      await openDatabase(address, { create: false }),
    ];
    for (const store of stores) onTestFinished(() => store.close());
    const folders = stores.map(() => temporaryFolder());
    const starts = stores.map((store, place) =>
      provideFirstToken(store, testRuntime(store).runtime, String(folders[place]), stderrLog("error")),
    );
    expect((await Promise.all(starts)).toSorted()).toEqual([false, true]);
    expect(folders.filter((folder) => existsSync(join(folder, "first-token")))).toHaveLength(1);
  });

  test("two that start together purge and forget everything old once", async () => {
    const cluster = testCluster();
    const address = await cluster.database("old");
    const store = await openDatabase(address, { create: true });
    onTestFinished(() => store.close());
    const { must } = testRuntime(store);
    const at = new Date(Date.now() - 60 * 86_400_000).toISOString();
    const emails = Array.from({ length: 1000 }, (_, n) => `u${n}@example.nl`);
    await store.write(async ({ domains, users }) => {
      await domains.addAll(["example.nl"], at);
      const mailbox = { domain: "example.nl", passwordHash: "x", quotaMb: 1, active: false };
      await users.addAll(
        emails.map((email) => ({ ...mailbox, localPart: email.slice(0, email.indexOf("@")) })),
        at,
      );
    });
    const many = "FROM generate_series(2, 2500) AS n";
    await cluster.query(
      "old",
      `INSERT INTO revisions SELECT n, repeat('0', 64), '${at}' ${many};
       INSERT INTO removals SELECT 'user', 'gone' || n || '@example.nl', n, '${at}' ${many};
       INSERT INTO audit_log (at, principal, door, tool, arguments, revision) SELECT '${at}', 'a', 'cli', 'b', '{}', n ${many};
       UPDATE state SET revision = 2500`,
    );
    await must("create-token", { name: "alive" }); // else the clock is not trusted
    const flags = ["--purge-inactive-after", "30", "--audit-retention", "30"];
    const serve = () => serveProcess(address, ["--folder", temporaryFolder(), ...flags]);
    const servers = await Promise.all([serve(), serve()]);
    const left = async () =>
      (
        await cluster.query(
          "old",
          `SELECT (SELECT count(*)::int FROM users) AS users, (SELECT count(*)::int FROM removals) AS removals,
             (SELECT count(*)::int FROM revisions) AS revisions,
             (SELECT count(*)::int FROM audit_log WHERE at = '${at}') AS entries`,
        )
      )[0];
    await expect.poll(left).toEqual({ users: 0, removals: 1, revisions: 1, entries: 0 });
    const entries = await store.read(({ audit }) => audit.page(2000, { principal: "retention" }, undefined));
    expect(entries.map((entry) => entry.arguments.email).sort()).toEqual(emails.toSorted());
    expect(await store.read(({ domains }) => domains.totals())).toMatchObject({ inactiveUsers: 0 });
    for (const { child } of servers) child.kill("SIGTERM");
    for (const { code, stderr } of await Promise.all(servers.map(({ finished }) => finished))) {
      expect(code).toBe(0);
      expect(stderr).not.toContain("could not be");
    }
  });

  test("a node that polls now here, now there keeps its history and gets each change once", async () => {
    const { servers, must } = await world();
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const [here, there] = servers.map(({ url }) => new SyncingNode(url, key)) as [SyncingNode, SyncingNode];
    await here.poll();
    const history = here.state?.history;
    for (let n = 0; n < 20; n += 1) {
      await must("add-domain", { domain: `d${n}.nl` });
      expect((await here.poll()).kind).toBe("delta");
      there.state = here.state;
      expect((await there.poll()).status).toBe(304);
      here.state = there.state;
    }
    expect(here.state?.history).toBe(history);
    expect(here.state?.domains.size).toBe(20);
  });

  test.skipIf(!isInstalled("caddy"))(
    "behind Caddy as the page says, requests go to the other server when theirs is lost",
    async () => {
      const { servers, token } = await world("--trusted-proxies", "127.0.0.1");
      const proxy = await startBalancer([servers[0].url, servers[1].url]);
      const list = async () =>
        (
          await http(`${proxy.url}/api/list-domains`, {
            headers: { authorization: `Bearer ${token}` },
            ca: proxy.ca,
          })
        ).status;
      expect(await list()).toBe(200);
      const used = await Promise.race(
        servers.map((server) => server.says(/list-domains/).then(() => server)),
      );
      await killed(used.child);
      await expect.poll(list).toBe(200);
    },
  );

  test("a storm of changes at both, one of which is killed in it, leaves no gap, and nodes have the store's state", async () => {
    const { cluster, servers, must, token } = await world();
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const nodes = servers.map(({ url }) => new SyncingNode(url, key)) as [SyncingNode, SyncingNode];
    await Promise.all(nodes.map((node) => node.poll()));
    const change = (server: Server, name: string) =>
      api(server, token, "add-domain", { domain: name }).catch(() => 0);
    const storm = async (name: string) =>
      Promise.all(
        servers.flatMap((server, place) =>
          Array.from({ length: 20 }, (_, n) => change(server, `${name}${place}-${n}.nl`)),
        ),
      );
    expect(new Set(await storm("whole"))).toEqual(new Set([200]));
    const [survivor, victim] = servers;
    const under = storm("killed");
    await expect
      .poll(() => cluster.query("two", "SELECT 1 FROM domains WHERE name LIKE 'killed%'"))
      .not.toEqual([]);
    await killed(victim.child);
    const acknowledged = (await under).filter((status) => status === 200).length;
    expect(await change(survivor, "after.nl")).toBe(200);
    const [{ count, last, names } = {}] = await cluster.query(
      "two",
      "SELECT count(*)::int AS count, max(revision)::int AS last, (SELECT count(*)::int FROM domains) AS names FROM revisions",
    );
    expect(count).toBe(Number(last) + 1);
    expect(Number(names)).toBe(last);
    expect(Number(names)).toBeGreaterThanOrEqual(41 + acknowledged);
    const [node] = nodes;
    await node.poll();
    expect(node.state?.domains.size).toBe(names);
    expect(node.state?.digest).toBe((await node.everything()).digest);
  });
});
