/** Setup in a folder in place of a machine's root, with the real server and a real replica, and without systemd. */

import { Resolver } from "node:dns/promises";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "vitest";
import type { Host } from "../../../src/machine/host.ts";
import { type Machine, thisMachine } from "../../../src/machine/machine.ts";
import { readCommand, type SetupConfig } from "../../../src/node/config.ts";
import { pollOnce } from "../../../src/node/poll.ts";
import { setUp } from "../../../src/node/setup/setup.ts";
import { Power } from "../../support/power.ts";
import type { TestServer } from "../../support/server.ts";
import { temporaryFolder } from "../folder.ts";
import { addNode, consoleWith, never } from "../joining.ts";

const DEPLOY = join(import.meta.dirname, "../../../deploy");
export const MAIN_CF = "/etc/postfix/main.cf";
/** As Debian's installation writes it. */
export const DEBIANS = `compatibility_level = 3.6
myhostname = pi
mydestination = $myhostname, pi, localhost.localdomain, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
`;
export const withTools =
  (await thisMachine.find("sqlite3")) && (await thisMachine.find("openssl")) ? test : test.skip;

/** Programs that a node may have. */
export const OPTIONAL = ["opendkim", "nft", "fail2ban-server", "rspamd"];

interface Planted extends Host {
  log: string[];
  printed: string[];
  /** The units that were started and, with `again`, restarted; or `not` any more. */
  started: string[];
  /** Set by a test to stop the machine. */
  power: Power;
  /** Of the programs that a node may have: those that this one has. */
  installed: Set<string>;
  read(path: string): string;
  write(path: string, text: string): void;
}

/** Time passes while the program sleeps, ten times as fast: it waits for half a minute at a server that is away. */
function quickClock(): Machine["clock"] {
  let slept = 0;
  return {
    now: () => Date.now() + slept,
    monotonic: () => performance.now() + slept,
    sleep: async (milliseconds) => {
      slept += 10 * milliseconds;
    },
  };
}

/** A machine in a folder, just after the package was installed. */
function plantedHost(key: string, config: SetupConfig): Planted {
  const root = temporaryFolder();
  const at = (path: string) => join(root, path);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text);
  };
  cpSync(DEPLOY, at("/usr/share/m25-mail-node"), { recursive: true });
  write("/usr/share/postfix/main.cf.debian", "compatibility_level = 3.6\n");
  write("/usr/share/postfix/master.cf.dist", "smtp inet n - y - - smtpd\n");
  write("/etc/postfix/master.cf", "smtp inet n - y - - smtpd\n");
  write(MAIN_CF, DEBIANS);
  const power = new Power();
  const installed = new Set<string>();
  const run: Machine["run"] = async (...command) => {
    power.step();
    if (command[1].includes("apt-get")) installed.add(command[1].at(-1) ?? "");
    return await withoutDaemons(...command);
  };
  const find: Machine["find"] = async (program) => {
    if (OPTIONAL.includes(program)) return installed.has(program) ? `/usr/sbin/${program}` : undefined;
    return await thisMachine.find(program);
  };
  const parts = { root: true, run, find, clock: quickClock(), group: async () => process.getgid?.() };
  const { machine, log, printed } = consoleWith(key, parts);
  const started: string[] = [];
  const units: Host["units"] = {
    isActive: async () => true,
    async start(unit, again) {
      power.step();
      started.push(again ? `${unit} again` : unit);
      if (unit === "m25-mail-node") await poll(machine, config);
    },
    reload: async () => undefined,
    restartRunning: async (unit) => void started.push(`${unit} again`),
    stop: async (...names) => void started.push(...names.map((name) => `not ${name}`)),
  };
  const ask = async () => undefined;
  return {
    machine,
    units,
    resolver: new Resolver(),
    at,
    ask,
    log,
    printed,
    started,
    power,
    installed,
    write,
    read: (path) => readFileSync(at(path), "utf8"),
  };
}

/** Runs OpenSSL, diff and sqlite3, and answers for programs that would change or read the test's machine. */
const withoutDaemons: Machine["run"] = async (command, args, timeout) => {
  const name = command.split("/").at(-1) ?? "";
  if (["openssl", "diff", "sqlite3"].includes(name)) return await thisMachine.run(command, args, timeout);
  return { code: 0, stdout: name === "dovecot" ? "2.3.19.1 (9b53102964)\n" : "", stderr: "" };
};

/** One poll in place of the service, which is a program of its own: the power of setup is not its. */
async function poll(machine: Machine, { server, keyFile, out }: SetupConfig): Promise<void> {
  const config = { server, keyFile, out, mailRoot: "/var/vmail", logins: "/var/lib/m25-mail-logins" };
  await pollOnce({ ...machine, run: withoutDaemons }, config, { version: "test" });
}

export function configFrom(argv: readonly string[]): SetupConfig {
  const command = readCommand(argv, {});
  if (command.name !== "setup") throw new Error("no setup");
  return command.config;
}

export async function newNode(server: TestServer, name: string, ...flags: string[]) {
  const folder = temporaryFolder();
  const places = ["--key-file", join(folder, "key"), "--out", join(folder, "out")];
  const argv = [
    "setup",
    "--server",
    server.url,
    "--host-name",
    "mail.example.nl",
    "--self-signed",
    ...places,
  ];
  const configOf = (...more: string[]) => configFrom([...argv, ...flags, ...more]);
  const host = plantedHost(await addNode(server, name), configOf());
  const run = (...more: string[]) => setUp(host, configOf(...more), never);
  return { host, run, runUntil: (signal: AbortSignal) => setUp(host, configOf(), signal) };
}

/** Each file's text, but for the certificate, which differs each time. */
export function filesOf({ at }: Host): Record<string, string> {
  const names = readdirSync(at("/etc"), { recursive: true, encoding: "utf8" }).filter(
    (name) => !name.startsWith("ssl") && statSync(at(`/etc/${name}`)).isFile(),
  );
  return Object.fromEntries(
    names.sort().map((name) => [name.replace(/\d{14}$/, "TIME"), readFileSync(at(`/etc/${name}`), "utf8")]),
  );
}
