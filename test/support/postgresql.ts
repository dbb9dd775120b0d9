import { execFileSync } from "node:child_process";
import { chownSync, globSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { onTestFinished } from "vitest";

/** Debian's folder of the newest PostgreSQL's programs; undefined without one. */
export const POSTGRESQL: string | undefined = globSync("/usr/lib/postgresql/*/bin").toSorted().at(-1);

/** Where a run's cluster is, for the tests' own processes: see postgresql-run.ts. */
export const RUN_FOLDER = "M25_MAIL_TEST_POSTGRESQL";

/** A private PostgreSQL, which only its folder's socket reaches. */
export class Cluster {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Makes an empty cluster and starts it. Nothing of it need survive the machine. */
  static start(): Cluster {
    const folder = mkdtempSync(join(tmpdir(), "pg-"));
    const [user] = asPostgres();
    if (user !== undefined) chownSync(folder, user, -1);
    const cluster = new Cluster(folder);
    cluster.#program("initdb", "--auth=trust", "--username=postgres", "--locale=C.UTF-8", "--no-sync");
    cluster.control("start");
    return cluster;
  }

  control(action: "start" | "stop" | "restart", mode: "fast" | "immediate" = "immediate"): void {
    const settings = `-k ${this.folder} -c listen_addresses='' -c fsync=off -c max_connections=300`;
    const how = action === "start" ? [] : ["-m", mode];
    this.#program("pg_ctl", action, "-w", "-s", "-l", join(this.folder, "log"), "-o", settings, ...how);
  }

  /** Stops it and removes its folder. */
  remove(): void {
    this.control("stop");
    rmSync(this.folder, { recursive: true, force: true });
  }

  address(database: string, user = "postgres"): string {
    return `postgres:///${database}?host=${this.folder}&user=${user}`;
  }

  /** Makes a database, which is dropped when the test ends. */
  async database(name: string): Promise<string> {
    await this.query("postgres", `CREATE DATABASE "${name}"`);
    onTestFinished(() => this.query("postgres", `DROP DATABASE "${name}" WITH (FORCE)`).then(() => {}));
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
    const [program = "", ...before] = [...as, join(POSTGRESQL ?? "", name)];
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
