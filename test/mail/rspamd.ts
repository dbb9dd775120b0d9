/** Debian's rspamd with the shipped files, between Postfix and Dovecot of a lab, which teaches it. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { RSPAMD } from "../support/needs.ts";
import { installedDovecot } from "./dovecot.ts";
import type { MailLab } from "./lab.ts";
import { mustRun, run, until } from "./processes.ts";
import { agePostfixFiles, DEPLOY, shipped } from "./shipped.ts";

const VMAIL = 5000;

export interface Rspamd {
  /** How many mails it has learnt. */
  learnt(): Promise<{ spam: number; ham: number }>;
  /** Stops its processes for now. @returns lets them go on */
  freeze(): () => void;
  /** Its own processes end with it. */
  stop(): Promise<void>;
  remove(): Promise<void>;
}

/**
 * @param out the node's folder, in which hosted-domains is
 * @param nameServer its address
 */
export async function startRspamd(lab: MailLab, out: string, nameServer: string): Promise<Rspamd> {
  const folder = mkdtempSync(join(tmpdir(), "m25-spam-"));
  const etc = lab.postfixConfigDir;
  const socket = join(etc, "../spool/rspamd");
  const [settings, own, teaching] = ["local.d", "own", "learn"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const made of [socket, settings, own, teaching]) mkdirSync(made);
  const id = (flag: string, name: string) => Number(execFileSync("id", [flag, name]));
  writeSettings(settings, {
    "rspamd-worker-proxy.inc": { "/var/spool/postfix/rspamd": socket },
    "rspamd-rspamd.lua": { "/var/lib/m25-mail-node": out },
    "rspamd-options.inc": {
      // Files are looked at each second in place of each 30.
      local_addrs: `dns { nameserver = ["${nameServer}:53:1"]; }\nmap_watch_interval = 10s;\nlocal_addrs`,
    },
    "learn-worker-controller.inc": { "/run/rspamd-learn": teaching },
    "learn-classifier-bayes.conf": { "/var/lib/rspamd": own },
  });
  await mustRun("chown", "-R", "_rspamd", folder);
  await mustRun("chmod", "755", folder);
  for (const [path, gid] of [
    [socket, id("-g", "postfix")],
    [teaching, VMAIL],
  ] as const) {
    chownSync(path, id("-u", "_rspamd"), gid);
    chmodSync(path, 0o2750);
  }
  const places = { LOCAL_CONFDIR: folder, DBDIR: own, RUNDIR: own, LOGDIR: own };
  const variables = Object.entries(places).map(([name, path]) => `--var=${name}=${path}`);
  const as = ["--reuid=_rspamd", "--regid=_rspamd", "--clear-groups"];
  const controller = join(teaching, "controller.sock");
  const sockets = [join(socket, "milter.sock"), controller];
  const learnt = async () => {
    const { stdout } = await run("rspamc", "-h", controller, "stat");
    const of = (name: string) => Number(new RegExp(`BAYES_${name} .* learned: (\\d+)`).exec(stdout)?.[1]);
    return { spam: of("SPAM"), ham: of("HAM") };
  };
  const start = async () => {
    for (const path of sockets) rmSync(path, { force: true });
    const started = spawn("setpriv", [...as, RSPAMD, "-f", "-c", "/etc/rspamd/rspamd.conf", ...variables], {
      stdio: "ignore",
    });
    await until("rspamd listens", () => sockets.every(existsSync), 180);
    await until(
      "rspamd has opened what it has learnt",
      async () => Object.values(await learnt()).includes(0),
      180,
    );
    return started;
  };
  // Twice, as setup does: docs/spam.md says why.
  await end(await start());
  const filter = await start();
  await teachBy(lab, controller);
  const forTests = "smtpd_authorized_xclient_hosts = 127.0.0.1";
  await mustRun("postconf", "-c", etc, "-e", ...settingsOf("postfix-filter-main.cf"), forTests);
  agePostfixFiles(etc);
  await mustRun("/usr/sbin/postfix", "-c", etc, "reload");
  return {
    learnt,
    freeze() {
      const children = execFileSync("ps", ["-o", "pid=", "--ppid", `${filter.pid}`], { encoding: "utf8" });
      const ids = [filter.pid ?? 0, ...children.trim().split(/\s+/).map(Number)];
      const signal = (name: NodeJS.Signals) => {
        for (const id of ids) process.kill(id, name);
      };
      signal("SIGSTOP");
      return () => signal("SIGCONT");
    },
    stop: () => end(filter),
    async remove() {
      await end(filter);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Writes all files for local.d, those for a mailbox node in place of those for any node. */
function writeSettings(folder: string, values: Readonly<Record<string, Record<string, string>>>): void {
  for (const beginning of ["rspamd-", "learn-"])
    for (const name of readdirSync(DEPLOY).filter((one) => one.startsWith(beginning)))
      writeFileSync(join(folder, name.slice(beginning.length)), shipped(name, values[name]));
}

/** Lets the lab's Dovecot teach at this socket. */
async function teachBy(lab: MailLab, controller: string): Promise<void> {
  const folder = dirname(lab.dovecotConfig);
  const { version } = await installedDovecot();
  const places = { "/etc/dovecot": folder, "/usr/lib/m25-mail-node/learn": folder };
  writeFileSync(join(folder, "m25-learn.conf"), shipped(`dovecot-${version}-learn.conf`, places));
  for (const name of ["m25-learn-spam.sieve", "m25-learn-ham.sieve"])
    writeFileSync(join(folder, name), shipped(name));
  const program = shipped("m25-learn", { "/run/rspamd-learn/controller.sock": controller });
  writeFileSync(join(folder, "m25-learn"), program, { mode: 0o755 });
  await lab.doveadm("reload");
}

async function end(filter: ChildProcess): Promise<void> {
  if (filter.exitCode !== null || filter.signalCode !== null) return;
  const ended = once(filter, "exit");
  filter.kill();
  await ended;
}

/** The settings of a part of main.cf, for postconf. */
function settingsOf(name: string): string[] {
  return shipped(name)
    .split("\n")
    .filter((line) => /^\w+ = /.test(line));
}
