/**
 * Two servers on one PostgreSQL: 304 polls with one and with both, directly and by Caddy, and the processor time of a poll in each
 * program; the first acknowledged change after a promotion.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { openDatabase } from "../db/open.ts";
import { Cluster } from "../test/support/postgresql.ts";
import { copyToPostgresql } from "./cluster.ts";
import {
  addNodes,
  benchmark,
  cleanup,
  createToken,
  median,
  newestTag,
  type Program,
  print,
  printTable,
  quantile,
  seededDatabase,
  serve,
  someHash,
  temporaryFolder,
} from "./support.ts";
import { poll } from "./wrk.ts";

const CADDY = "/usr/bin/caddy";
const SECONDS = Number(process.env.SECONDS ?? 5);
const ROUNDS = Number(process.env.ROUNDS ?? 5);
const PROMOTIONS = Number(process.env.PROMOTIONS ?? 10);
/** Connections that keep a server busy: polls that wait together share a question. */
const BUSY = 64;
const ONE = `one server, ${BUSY} connections`;
const TWO = `two servers, ${BUSY} each`;
/** Clock ticks a second in /proc/PID/stat. */
const TICKS = 100;

await benchmark(async () => {
  await comparePolls();
  await promote();
});

/** A measurement. */
interface Cost {
  /** Polls a second. */
  polls: number;
  /** µs of processor time for each poll, in each kind of program. */
  servers: number;
  postgresql: number;
  caddy: number;
  wrk: number;
  /** Polls that one question to PostgreSQL answers. */
  shared: number;
}

/** Servers, or a proxy, and the connections to each. */
interface Way {
  urls: readonly string[];
  connections: number;
}

async function comparePolls(): Promise<void> {
  const { database } = await seededDatabase({ users: 50_000, domains: 10, passwordHash: someHash });
  const keys = await addNodes(database, 100);
  const { cluster, address } = await copyToPostgresql(database);
  const store = await openDatabase(address, { create: false });
  const load = { keys, etag: await newestTag(store), seconds: SECONDS };
  await store.close();
  const start = () => serve(address, "--folder", temporaryFolder(), "--trusted-proxies", "127.0.0.1");
  const servers = [start(), start()];
  const urls = await Promise.all(servers.map((server) => server.url()));
  const proxy = await startCaddy(urls);
  const measured = async ({ urls: addresses, connections }: Way): Promise<Cost> => {
    const spent = () => ({
      servers: sum(servers.map((server) => server.cpuSeconds())),
      postgresql: secondsOf(cluster),
      caddy: proxy === undefined ? 0 : seconds(proxy.pid),
      wrk: endedSeconds(process.pid),
    });
    const [before, asked] = [spent(), await questions(cluster)];
    const loads = await Promise.all(
      addresses.map((url) => poll({ ...load, url, connections, folder: temporaryFolder() })),
    );
    const after = spent();
    const requests = sum(loads.map((one) => one.requests));
    const each = (of: keyof typeof after) => ((after[of] - before[of]) / requests) * 1e6;
    return {
      polls: sum(loads.map(({ requestsPerSecond }) => requestsPerSecond)),
      servers: each("servers"),
      postgresql: each("postgresql"),
      caddy: each("caddy"),
      wrk: each("wrk"),
      shared: requests / ((await questions(cluster)) - asked),
    };
  };
  const ways: Record<string, Way> = {
    [ONE]: { urls: urls.slice(0, 1), connections: BUSY },
    [TWO]: { urls, connections: BUSY },
    "two servers with half of that load each": { urls, connections: BUSY / 2 },
    ...(proxy && { "two behind Caddy, without TLS": { urls: [proxy.url], connections: BUSY } }),
  };
  const found = new Map<string, Cost[]>(Object.keys(ways).map((name) => [name, []]));
  for (let round = -1; round < ROUNDS; round += 1) {
    for (const [name, way] of Object.entries(ways)) {
      const cost = await measured(way);
      if (round >= 0) found.get(name)?.push(cost);
    }
  }
  const inServers = (name: string) => median((found.get(name) ?? []).map(({ servers: each }) => each));
  printTable(
    ["304 polls", "a second", "µs in servers", "in PostgreSQL", "in Caddy", "in wrk", "polls a question"],
    [...found].map(([name, costs]) => {
      const of = (part: keyof Cost) => median(costs.map((cost) => cost[part]));
      const times = (["servers", "postgresql", "caddy", "wrk"] as const).map((part) => of(part).toFixed(1));
      return [name, of("polls").toFixed(0), ...times, of("shared").toFixed(1)];
    }),
  );
  const ratio = (2 * inServers(ONE)) / inServers(TWO);
  print(
    `With a core for each server, and others for the rest, two serve ${ratio.toFixed(2)} x the polls of one.`,
  );
}

/** ms from the call of pg_ctl promote, and from its return, until a server acknowledges the first change. */
async function promote(): Promise<void> {
  let primary = Cluster.start("");
  let standby = await Cluster.following(primary);
  for (const cluster of [primary, standby]) cleanup(() => cluster.remove());
  await primary.query("postgres", "CREATE DATABASE mail");
  const address = `postgres:///mail?host=${primary.folder},${standby.folder}&user=postgres`;
  const store = await openDatabase(address, { create: true });
  const headers = {
    authorization: `Bearer ${await createToken(store, "bench")}`,
    "content-type": "application/json",
  };
  await store.close();
  const server: Program = serve(address, "--folder", temporaryFolder());
  const url = await server.url();
  let added = 0;
  const change = async () => {
    for (;;) {
      added += 1;
      const body = JSON.stringify({ domain: `d${added}.nl` });
      const answer = await fetch(`${url}/api/add-domain`, { method: "POST", headers, body });
      await answer.text();
      if (answer.ok) return;
      await pause(5);
    }
  };
  const times = { call: [] as number[], return: [] as number[] };
  for (let n = 0; n < PROMOTIONS; n += 1) {
    await change();
    await caughtUp(primary);
    await primary.kill();
    const acknowledged = change().then(() => performance.now()); // callers go on trying meanwhile
    const called = performance.now();
    await standby.promote();
    const returned = performance.now();
    const at = await acknowledged;
    times.call.push(at - called);
    times.return.push(Math.max(0, at - returned));
    await primary.follow(standby);
    [primary, standby] = [standby, primary];
  }
  printTable(
    [`first acknowledged change of ${PROMOTIONS} promotions, after`, "p50 ms", "max ms"],
    Object.entries(times).map(([name, all]) => [
      `the ${name} of pg_ctl promote`,
      ...[0.5, 1].map((q) => quantile(all, q).toFixed(0)),
    ]),
  );
}

/** Waits until the standby has everything. */
async function caughtUp(primary: Cluster): Promise<void> {
  const found = "SELECT 1 FROM pg_stat_replication WHERE flush_lsn = pg_current_wal_lsn()";
  while ((await primary.query("postgres", found)).length === 0) await pause(20);
}

/** Caddy in front of both servers, without TLS; undefined where it is not installed. */
async function startCaddy(urls: readonly string[]): Promise<{ url: string; pid: number } | undefined> {
  if (!existsSync(CADDY)) return undefined;
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const folder = temporaryFolder();
  const file = join(folder, "Caddyfile");
  const to = urls.map((one) => new URL(one).host).join(" ");
  writeFileSync(file, `{\n\tadmin off\n}\n${url} {\n\treverse_proxy ${to}\n}\n`);
  const home = { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder };
  const child = spawn(CADDY, ["run", "--config", file, "--adapter", "caddyfile"], {
    stdio: "ignore",
    env: { ...process.env, ...home },
  });
  cleanup(() => void child.kill());
  while (
    !(await fetch(`${url}/healthz`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await pause(50);
  return { url, pid: child.pid ?? 0 };
}

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" ? (address?.port ?? 0) : 0));
    }),
  );
}

/** PostgreSQL's transactions so far. */
async function questions(cluster: Cluster): Promise<number> {
  const [{ count } = {}] = await cluster.query(
    "postgres",
    "SELECT (xact_commit + xact_rollback)::int AS count FROM pg_stat_database WHERE datname = 'mail'",
  );
  return Number(count);
}

/** Seconds of processor time of PostgreSQL and all its processes, also those that have ended. */
function secondsOf(cluster: Cluster): number {
  const processes = cluster.processes();
  return sum(processes.map(seconds)) + endedSeconds(processes[0]);
}

/** Seconds of processor time of a process; 0 if it has ended. */
function seconds(pid: number): number {
  const [user, system] = fieldsOf(pid).slice(11, 13);
  return (Number(user ?? 0) + Number(system ?? 0)) / TICKS;
}

/** Seconds of processor time of a process's children that have ended. */
function endedSeconds(pid: number): number {
  const [user, system] = fieldsOf(pid).slice(13, 15);
  return (Number(user) + Number(system)) / TICKS;
}

function fieldsOf(pid: number): string[] {
  const path = `/proc/${pid}/stat`;
  const stat = existsSync(path) ? readFileSync(path, "utf8") : "";
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
