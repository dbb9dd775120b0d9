/** Two servers on two PostgreSQL that Patroni looks after, with the files that docs/postgresql.md names. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import pg from "pg";
import { describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../db/open.ts";
import { shipped } from "../../mail/shipped.ts";
import { certificate } from "../../support/certificate.ts";
import { ETCD, PATRONI } from "../../support/needs.ts";
import { testNetwork } from "../../support/network.ts";
import { killed, serveProcess } from "../../support/program.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";
import { SyncingNode } from "../../support/syncing-node.ts";
import { client, follow, more } from "./storm.ts";

/** Changes that each server acknowledges between two losses. */
const CHANGES = 20;

/** The addresses of the configuration, which the tests' machine may have itself, and those here: nothing else uses them. */
const [THEIRS, NETWORK] = ["192.0.2.", "10.213.8."];
const DATABASES = ["21", "22"] as const;
const ETCD_URL = `http://${NETWORK}31:2379`;

const isInstalled = [PATRONI, ETCD].every((program) => existsSync(program));

/** A machine with folders and processes of its own, which runs Patroni as its service does. All of it ends with the shell. */
const MACHINE = `mount -t tmpfs tmpfs /var/run/postgresql; mount -t tmpfs tmpfs /var/lib/postgresql
  mkdir /var/lib/postgresql/tls; cp "$1" /var/lib/postgresql/tls/fullchain.pem; cp "$2" /var/lib/postgresql/tls/privkey.pem
  cp "$3" /var/lib/postgresql/config.yml; chmod 600 /var/lib/postgresql/tls/*
  chown -R postgres: /var/lib/postgresql /var/run/postgresql; mount -t tmpfs tmpfs /dev/shm
  cd /var/lib/postgresql
  setpriv --reuid postgres --regid postgres --init-groups ${PATRONI} config.yml & wait`;

function machines() {
  const { name } = testNetwork(`${NETWORK}1`, ...[...DATABASES, "31"].map((host) => `${NETWORK}${host}`));
  const folder = temporaryFolder();
  const { cert, key } = certificate("db", [`${NETWORK}21`, `${NETWORK}22`].join(",IP:"));
  const start = (command: readonly string[], environment = {}) => {
    // It ends with this process, even if that is killed.
    const args = ["--pdeathsig", "KILL", "ip", "netns", "exec", name, ...command];
    const child = spawn("setpriv", args, {
      stdio: "ignore",
      env: { PATH: process.env.PATH, ...environment },
    });
    onTestFinished(() => killed(child));
    return child;
  };
  const listening = ["listen-client", "advertise-client"].map((name) => `--${name}-urls=${ETCD_URL}`);
  const folders = [`--data-dir=${join(folder, "etcd")}`, "--listen-peer-urls=http://127.0.0.1:2380"];
  start([ETCD, ...listening, ...folders]);
  const startDatabase = (host: (typeof DATABASES)[number]): ChildProcess => {
    mkdirSync(join(folder, host), { recursive: true });
    const own = shipped("patroni.yml", {
      "name: db1": `name: db${host}`,
      [`${THEIRS}21`]: `${THEIRS}${host}`,
    });
    const file = join(folder, host, "config.yml");
    writeFileSync(file, own.replaceAll(THEIRS, NETWORK));
    const alone = ["unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"];
    return start([...alone, "sh", "-ec", MACHINE, "sh", cert, key, file], {
      HOME: "/var/lib/postgresql",
      PATRONI_SUPERUSER_USERNAME: "postgres",
      PATRONI_SUPERUSER_PASSWORD: "of the superuser",
      PATRONI_REPLICATION_USERNAME: "replicator",
      PATRONI_REPLICATION_PASSWORD: "of the standby",
    });
  };
  return { cert, startDatabase };
}

/** Waits until this machine's Patroni says that it has this part. */
async function hasPart(host: string, part: "primary" | "synchronous"): Promise<void> {
  const answers = () => fetch(`http://${NETWORK}${host}:8008/${part}`).then(({ status }) => status);
  await expect.poll(() => answers().catch(() => 0), { interval: 200 }).toBe(200);
}

async function makeDatabase(): Promise<void> {
  const superuser = {
    host: `${NETWORK}21`,
    user: "postgres",
    password: "of the superuser",
    database: "postgres",
  };
  const postgres = new pg.Client({ ...superuser, ssl: { rejectUnauthorized: false } });
  await postgres.connect();
  await postgres.query("CREATE ROLE m25mail LOGIN PASSWORD 'of the server'");
  await postgres.query("CREATE DATABASE m25mail OWNER m25mail");
  await postgres.end();
}

describe.skipIf(!isInstalled || process.geteuid?.() !== 0)("two PostgreSQL with Patroni", () => {
  test("each is lost in turn and comes back: no acknowledged change is lost, and nodes follow", async () => {
    const { cert, startDatabase } = machines();
    const running = { 21: startDatabase("21"), 22: undefined as ChildProcess | undefined };
    await hasPart("21", "primary");
    running[22] = startDatabase("22");
    await hasPart("22", "synchronous");
    await makeDatabase();
    const passwordFile = join(temporaryFolder(), "password");
    writeFileSync(passwordFile, "of the server\n");
    const address = `postgres://m25mail@${NETWORK}21,${NETWORK}22/m25mail?sslrootcert=${cert}`;
    const store = await openDatabase(address, { create: true, passwordFile });
    onTestFinished(() => store.close());
    const { must } = testRuntime(store);
    const key = String((await must("add-node", { name: "pi" })).sync_key);
    const serve = () =>
      serveProcess(address, ["--folder", temporaryFolder(), "--db-password-file", passwordFile]);
    const servers = [await serve(), await serve()];
    let isOver = false;
    // Each client has a limit of its own on calls.
    const storms = await Promise.all(
      servers.map(async ({ url }, place) => {
        const { token } = await must("create-token", { name: `client${place}` });
        return client(url, String(token), `${"ab"[place]}`, () => isOver);
      }),
    );
    const nodes = servers.map(({ url }) => new SyncingNode(url, key));
    const followed = nodes.map((node) => follow(node, () => isOver));
    for (const [lost, other] of [
      ["21", "22"],
      ["22", "21"],
    ] as const) {
      await more(storms, CHANGES);
      const child = running[lost];
      if (child !== undefined) await killed(child);
      await hasPart(other, "primary");
      await more(storms, CHANGES);
      running[lost] = startDatabase(lost);
      await hasPart(lost, "synchronous");
    }
    isOver = true;
    await Promise.all([...storms.map(({ ended }) => ended), ...followed]);
    const acknowledged = storms.flatMap((storm) => storm.acknowledged);
    const found = await store.read(({ domains }) => domains.named(acknowledged, acknowledged.length));
    expect(found.length).toBe(acknowledged.length);
    expect(await store.figures()).toMatchObject({ timeline: 3, isSynchronous: true });
    for (const node of nodes) {
      await node.poll();
      expect(node.state?.digest).toBe((await node.everything()).digest);
    }
  });
});
