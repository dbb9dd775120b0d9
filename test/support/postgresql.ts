import { execFileSync } from "node:child_process";
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { expect, onTestFinished } from "vitest";

/** Debian's folder of the newest PostgreSQL's programs; undefined without one. */
export const POSTGRESQL: string | undefined = globSync("/usr/lib/postgresql/*/bin").toSorted().at(-1);

/** Where a run's cluster is, for the tests' own processes: see postgresql-run.ts. */
export const RUN_FOLDER = "M25_MAIL_TEST_POSTGRESQL";

/** The database that copy() copies: postgresql-run.ts makes it. */
export const TEMPLATE = "template_m25_mail";

/** Tests need no data that survives the machine. */
const UNSAFE = "-c fsync=off";

/** A private PostgreSQL, which only its folder's socket reaches. */
export class Cluster {
  readonly folder: string;
  /** A network namespace, and the address at which it listens there with TLS; set before a start. */
  network: { name: string; address: string } | undefined;

  readonly #settings: string;

  constructor(folder: string, settings = UNSAFE) {
    this.folder = folder;
    this.#settings = settings;
  }

  /** Makes an empty cluster and starts it. Nothing of it need survive the machine. */
  static start(settings = UNSAFE): Cluster {
    const cluster = Cluster.#inNewFolder(settings);
    cluster.#program("initdb", "--auth=trust", "--username=postgres", "--locale=C.UTF-8", "--no-sync");
    cluster.control("start");
    return cluster;
  }

  static #inNewFolder(settings: string): Cluster {
    const folder = mkdtempSync(join(tmpdir(), "pg-"));
    const [user] = asPostgres();
    if (user !== undefined) chownSync(folder, user, -1);
    return new Cluster(folder, settings);
  }

  /** Starts a standby of this cluster, which follows it by streaming replication. It is removed when the test ends. */
  standby(): Cluster {
    const standby = Cluster.#inNewFolder(this.#settings);
    onTestFinished(() => standby.remove());
    standby.#program("pg_basebackup", "-R", "-h", this.folder, "-U", "postgres", "--checkpoint=fast");
    standby.control("start");
    return standby;
  }

  /** Makes a standby the primary. */
  promote(): void {
    this.#program("pg_ctl", "promote", "-w", "-s");
  }

  /** Kills it as a crash of its machine would, and waits for its end. */
  async kill(): Promise<void> {
    const file = join(this.folder, "data", "postmaster.pid");
    const [pid = ""] = readFileSync(file, "utf8").split("\n");
    process.kill(Number(pid), "SIGKILL");
    await expect.poll(() => existsSync(`/proc/${pid}`)).toBe(false);
    rmSync(file);
  }

  control(action: "start" | "stop" | "restart", mode: "fast" | "immediate" = "immediate"): void {
    const listening =
      this.network === undefined
        ? "-c listen_addresses=''"
        : `-c listen_addresses=${this.network.address} -c ssl=on`;
    const settings = `-k ${this.folder} ${listening} -c max_connections=300 ${this.#settings}`;
    const how = action === "start" ? [] : ["-m", mode];
    this.#program("pg_ctl", action, "-w", "-s", "-l", join(this.folder, "log"), "-o", settings, ...how);
  }

  /** Stops it and removes its folder. */
  remove(): void {
    if (existsSync(join(this.folder, "data", "postmaster.pid")))
      this.#program("pg_ctl", "stop", "-s", "-m", "immediate");
    rmSync(this.folder, { recursive: true, force: true });
  }

  address(database: string, user = "postgres"): string {
    return `postgres:///${database}?host=${this.folder}&user=${user}`;
  }

  /** Makes an empty database, which is dropped when the test ends. */
  async database(name: string): Promise<string> {
    await this.query("postgres", `CREATE DATABASE "${name}"`);
    onTestFinished(() => this.query("postgres", `DROP DATABASE "${name}" WITH (FORCE)`).then(() => {}));
    return this.address(name);
  }

  /** Makes a database with the template's tables, as a first start leaves it. It goes with the cluster. */
  async copy(name: string): Promise<string> {
    await this.query("postgres", `CREATE DATABASE "${name}" TEMPLATE "${TEMPLATE}"`);
    const random = "md5(gen_random_uuid()::text)";
    await this.query(name, `UPDATE state SET history = ${random}, cursor_key = ${random} || ${random}`);
    return this.address(name);
  }

  /** Runs statements as the superuser, in M25 Mail's schema if the database has it. */
  async query(database: string, text: string): Promise<Array<Record<string, unknown>>> {
    const client = new pg.Client({
      host: this.folder,
      user: "postgres",
      database,
      options: "-c search_path=m25_mail,public",
    });
    await client.connect();
    try {
      const result = await client.query(text);
      return [result].flat().at(-1)?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  #program(name: string, ...args: string[]): void {
    const [, ...as] = asPostgres();
    const there = this.network === undefined ? [] : ["ip", "netns", "exec", this.network.name];
    const [program = "", ...before] = [...there, ...as, join(POSTGRESQL ?? "", name)];
    const data = ["-D", join(this.folder, "data")];
    execFileSync(program, [...before, ...data, ...args], { cwd: this.folder, stdio: "ignore" });
  }
}

/** The id of the user that runs it and the words that begin its command; nothing if this user can. */
function asPostgres(): [] | [number, ...string[]] {
  if (process.geteuid?.() !== 0) return [];
  const id = Number(execFileSync("id", ["-u", "postgres"]));
  return [id, "runuser", "-u", "postgres", "--"];
}

/** A cluster of the test's own. */
export function testCluster(): Cluster {
  const cluster = Cluster.start();
  onTestFinished(() => cluster.remove());
  return cluster;
}

/** The cluster of a whole run, of which a test uses a database. */
export function runCluster(): Cluster {
  return new Cluster(process.env[RUN_FOLDER] ?? "");
}
