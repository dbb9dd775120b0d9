/** PostgreSQL with a streaming replica that Dovecot asks by dovecot-pgsql, on private clusters. */
import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { chownSync, existsSync, globSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { type MailLab, startMailLab } from "../test/mail/lab.ts";
import { cleanup } from "./support.ts";

const [bin = ""] = globSync("/usr/lib/postgresql/*/bin").toSorted().reverse();
/** The standby's names, by which its socket is found, are those of ports on which nothing listens. */
const [PRIMARY, STANDBY] = ["1", "2"] as const;

/** Returns why this machine has no such PostgreSQL; undefined if it has. */
export function missingPostgresql(): string | undefined {
  const driver = "/usr/lib/dovecot/modules/auth/libdriver_pgsql.so";
  return bin !== "" && existsSync(driver) ? undefined : "apt-get install postgresql dovecot-pgsql";
}

/** A session of psql. One statement at a time. */
class Session {
  readonly #child: ChildProcessWithoutNullStreams;
  #line: (line: string) => void = () => {};

  constructor(sockets: string, port: string) {
    this.#child = spawn("psql", ["-qAtX", "-h", sockets, "-p", port, "-U", "postgres", "postgres"]);
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#line(line));
    cleanup(() => void this.#child.kill());
  }

  /** Returns the rows, once the statement is committed. */
  run(statement: string): Promise<string[]> {
    const rows: string[] = [];
    return new Promise((resolve) => {
      this.#line = (line) => void (line === "done" ? resolve(rows) : rows.push(line));
      this.#child.stdin.write(`${statement}\n\\echo done\n`);
    });
  }
}

export interface Postgresql {
  lab: MailLab;
  primary: Session;
  standby: Session;
}

/** Starts both clusters, with `users` mailboxes, and a Dovecot that asks the standby. */
export async function startPostgresql(folder: string, users: number): Promise<Postgresql> {
  const sockets = join(folder, "sockets");
  const [out, mailRoot] = [join(folder, "out"), join(folder, "mail")];
  for (const path of [sockets, out, mailRoot]) mkdirSync(path, { recursive: true, mode: 0o755 });
  const id = Number(execFileSync("id", ["-u", "postgres"]));
  for (const path of [folder, sockets]) chownSync(path, id, id);
  const as = (program: string, ...args: string[]) =>
    execFileSync("runuser", ["-u", "postgres", "--", join(bin, program), ...args], {
      stdio: "ignore",
      cwd: folder,
    });
  const start = (name: string, port: string) => {
    as(
      "pg_ctl",
      "-D",
      join(folder, name),
      "-w",
      "-l",
      join(folder, `${name}.log`),
      ...["-o", `-p ${port} -k ${sockets} -c listen_addresses=''`],
      "start",
    );
    cleanup(() => void as("pg_ctl", "-D", join(folder, name), "-m", "immediate", "stop"));
  };
  as("initdb", "-D", join(folder, "primary"), "--auth=trust");
  start("primary", PRIMARY);
  as("pg_basebackup", "-D", join(folder, "standby"), "-R", "-h", sockets, "-p", PRIMARY);
  start("standby", STANDBY);
  const [primary, standby] = [new Session(sockets, PRIMARY), new Session(sockets, STANDBY)];
  await primary.run(`CREATE TABLE mailbox(domain text, local text, password text, quota_mb integer, PRIMARY KEY (domain, local));
    INSERT INTO mailbox SELECT 'domain' || n % 10 || '.example', 'u' || n, '{BLF-CRYPT}x', 1024 FROM generate_series(1, ${users}) AS n;`);
  const lab = await startMailLab({ out, mailRoot });
  cleanup(lab.stop);
  const { uid } = statSync(mailRoot);
  const where = "FROM mailbox WHERE local = '%Ln' AND domain = '%Ld'";
  writeFileSync(
    join(dirname(lab.dovecotConfig), "m25-sql.conf.ext"),
    `driver = pgsql
connect = host=${sockets} port=${STANDBY} user=postgres dbname=postgres
default_pass_scheme = BLF-CRYPT
password_query = SELECT local || '@' || domain AS user, password ${where}
user_query = SELECT ${uid} AS uid, ${uid} AS gid, '${mailRoot}/' || domain || '/' || local AS home, '*:storage=' || quota_mb || 'M' AS quota_rule ${where}
`,
  );
  await lab.doveadm("reload");
  return { lab, primary, standby };
}
