import { execFile, execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chownSync, existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import pg from "pg";
import { onTestFinished } from "vitest";
import { until } from "../mail/processes.ts";

/** Debian's folder of the newest PostgreSQL's programs; undefined without one. */
export const POSTGRESQL: string | undefined = globSync("/usr/lib/postgresql/*/bin").toSorted().at(-1);

/** Where a run's cluster is, for the tests' own processes: see postgresql-run.ts. */
export const RUN_FOLDER = "M25_MAIL_TEST_POSTGRESQL";

/** The database that new ones of a run copy: postgresql-run.ts makes it. */
export const TEMPLATE = "template_m25_mail";

/** Tests need no data that survives the machine. A new process costs much on some machines, and autovacuum starts many. */
const UNSAFE = "-c fsync=off -c full_page_writes=off -c autovacuum=off";

/** A run's cluster has no standby, and tests kill nothing there. */
export const OF_A_RUN = `${UNSAFE} -c synchronous_commit=off -c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB`;

/** Makes the tables as a first start leaves them, in less time than a new copy of them would take. */
const CLEAR = `CREATE FUNCTION public.clear() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE one record; random text := md5(gen_random_uuid()::text);
BEGIN
  FOR one IN SELECT oid::regclass AS name, pg_relation_size(oid) AS bytes FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'm25_mail'::regnamespace AND relname NOT IN ('schema_version', 'state', 'timeline')
      AND pg_relation_size(oid) > 0
  LOOP
    IF one.bytes > 100000 THEN EXECUTE format('TRUNCATE %s CASCADE', one.name);
    ELSE EXECUTE format('DELETE FROM %s', one.name); END IF;
  END LOOP;
  PERFORM setval(format('%I.%I', schemaname, sequencename), 1, false) FROM pg_sequences WHERE last_value IS NOT NULL;
  INSERT INTO m25_mail.revisions SELECT * FROM public.first_revisions;
  INSERT INTO m25_mail.audit_retention SELECT * FROM public.first_audit_retention;
  DELETE FROM m25_mail.state;
  INSERT INTO m25_mail.state SELECT * FROM public.first_state;
  UPDATE m25_mail.state SET history = random, cursor_key = random || random;
END $$`;
const FIRST_ROWS = ["state", "revisions", "audit_retention"].map(
  (table) => `CREATE TABLE public.first_${table} AS TABLE m25_mail.${table}`,
);
/** Makes a new database one that clear() can clear. */
export const CLEARABLE = [...FIRST_ROWS, CLEAR].join(";");

/** Databases of a run that this process has, while no test uses them; each with a connection of the superuser. */
const free: Array<{ name: string; pool: pg.Pool }> = [];

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
  static start(settings = UNSAFE, parent = tmpdir()): Cluster {
    const cluster = Cluster.#inNewFolder(settings, parent);
    cluster.#program("initdb", "--auth=trust", "--username=postgres", "--locale=C.UTF-8", "--no-sync");
    cluster.control("start");
    return cluster;
  }

  static #inNewFolder(settings: string, parent = tmpdir()): Cluster {
    const folder = mkdtempSync(join(parent, "pg-"));
    const [user] = asPostgres();
    if (user !== undefined) chownSync(folder, user, -1);
    return new Cluster(folder, settings);
  }

  /** Starts a standby of this cluster, which follows it by streaming replication. It is removed when the test ends. */
  async standby(): Promise<Cluster> {
    const standby = await Cluster.following(this);
    onTestFinished(() => standby.remove());
    return standby;
  }

  /** The same, until it is removed. */
  static async following(primary: Cluster): Promise<Cluster> {
    const standby = Cluster.#inNewFolder(primary.#settings);
    await standby.follow(primary);
    return standby;
  }

  /** Makes it a standby of `primary`, with a new copy of it. It must have stopped. */
  async follow(primary: Cluster): Promise<void> {
    rmSync(join(this.folder, "data"), { recursive: true, force: true });
    const from = ["-h", primary.folder, "-U", "postgres", "--checkpoint=fast"];
    await this.#run("pg_basebackup", "-R", "--no-sync", ...from);
    this.control("start");
  }

  /** Makes a standby the primary. */
  async promote(): Promise<void> {
    await this.#run("pg_ctl", "promote", "-w", "-s");
  }

  get #pidFile(): string {
    return join(this.folder, "data", "postmaster.pid");
  }

  /** The ids of the postmaster and of its processes. */
  processes(): [postmaster: number, ...others: number[]] {
    const [pid = ""] = readFileSync(this.#pidFile, "utf8").split("\n");
    const others = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").match(/\d+/g) ?? [];
    return [Number(pid), ...others.map(Number)];
  }

  /** Kills it as a crash of its machine would, and waits for its end. */
  async kill(): Promise<void> {
    // Nobody else removes its shared memory: the seventh line has its key and id.
    const segment = readFileSync(this.#pidFile, "utf8").split("\n")[6]?.trim().split(/\s+/)[1];
    const processes = this.processes();
    for (const one of processes) killIfThere(one); // the postmaster first: it would start the others anew
    await until("its processes are gone", () => !processes.some((one) => existsSync(`/proc/${one}`)));
    rmSync(this.#pidFile);
    if (segment !== undefined) execFileSync("ipcrm", ["-m", segment]);
  }

  control(action: "start" | "stop" | "restart", mode: "fast" | "immediate" = "immediate"): void {
    const listening =
      this.network === undefined
        ? "-c listen_addresses=''"
        : `-c listen_addresses=${this.network.address} -c ssl=on`;
    // Shared memory in its folder, with which it goes when it was killed.
    const own = `-k ${this.folder} -c dynamic_shared_memory_type=mmap`;
    const settings = `${own} ${listening} -c max_connections=300 ${this.#settings}`;
    const how = action === "start" ? [] : ["-m", mode];
    this.#program("pg_ctl", action, "-w", "-s", "-l", join(this.folder, "log"), "-o", settings, ...how);
  }

  /** Stops it and removes its folder. */
  remove(): void {
    if (existsSync(this.#pidFile)) this.#program("pg_ctl", "stop", "-s", "-m", "immediate");
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

  /** Lends a database with tables as a first start leaves them, until the test ends. It goes with the cluster. */
  async lend(): Promise<string> {
    const lent = Promise.resolve(free.pop() ?? this.#copy());
    onTestFinished(async () => {
      const one = await lent;
      await one.pool.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
      );
      free.push(one);
    });
    const { name, pool } = await lent;
    await pool.query("SELECT public.clear()");
    return this.address(name);
  }

  async #copy() {
    const name = `test_${randomUUID()}`;
    await this.query("postgres", `CREATE DATABASE "${name}" TEMPLATE "${TEMPLATE}" STRATEGY file_copy`);
    const pool = new pg.Pool({
      ...this.#connection(name),
      max: 1,
      idleTimeoutMillis: 0,
      allowExitOnIdle: true,
    });
    pool.on("error", () => {}); // the cluster ends first
    return { name, pool };
  }

  /** Runs statements as the superuser, in M25 Mail's schema if the database has it. */
  async query(database: string, text: string): Promise<Array<Record<string, unknown>>> {
    const client = new pg.Client(this.#connection(database));
    await client.connect();
    try {
      const result = await client.query(text);
      return [result].flat().at(-1)?.rows ?? [];
    } finally {
      await client.end();
    }
  }

  #connection(database: string): pg.ClientConfig {
    return { host: this.folder, user: "postgres", database, options: "-c search_path=m25_mail,public" };
  }

  #program(name: string, ...args: string[]): void {
    const [program, ...all] = this.#command(name, args);
    execFileSync(program, all, { cwd: this.folder, stdio: "ignore" });
  }

  /** The same, while this process goes on. The program must not leave a daemon: that would keep its output open. */
  async #run(name: string, ...args: string[]): Promise<void> {
    const [program, ...all] = this.#command(name, args);
    await promisify(execFile)(program, all, { cwd: this.folder });
  }

  #command(name: string, args: readonly string[]): [string, ...string[]] {
    const [, ...as] = asPostgres();
    const there = this.network === undefined ? [] : ["ip", "netns", "exec", this.network.name];
    const [program = "", ...before] = [...there, ...as, join(POSTGRESQL ?? "", name)];
    return [program, ...before, "-D", join(this.folder, "data"), ...args];
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {} // it has just ended
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
