/** The server's set-up in a folder in place of a machine's root, with a real server and database, and without systemd. */

import { Resolver } from "node:dns/promises";
import { cpSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseFlags } from "../../../src/command-line/flags.ts";
import { usageFor } from "../../../src/doors/cli/usage.ts";
import type { Host } from "../../../src/machine/host.ts";
import { type Machine, thisMachine } from "../../../src/machine/machine.ts";
import { wishesOf } from "../../../src/program/setup/answers.ts";
import { setUpServer } from "../../../src/program/setup/setup.ts";
import { Power } from "../../support/power.ts";
import { startServer } from "../../support/server.ts";
import { temporaryFolder, testRuntime } from "../../support/store.ts";

const DEPLOY = join(import.meta.dirname, "../../../deploy");
export const NAME = "mail-admin.example.nl";
export const CADDYFILE = "/etc/caddy/Caddyfile";

/** A minute passes while the program sleeps: it waits no longer for a server that does not answer. */
function quickClock(): Machine["clock"] {
  let slept = 0;
  return {
    now: () => Date.now(),
    monotonic: () => performance.now() + slept,
    sleep: async () => {
      slept += 61_000;
    },
  };
}

/** A machine with these proxies, of which the first runs. */
export async function newMachine(...installed: string[]) {
  const root = temporaryFolder();
  const at = (path: string) => join(root, path);
  const write = (path: string, text: string) => {
    mkdirSync(dirname(at(path)), { recursive: true });
    writeFileSync(at(path), text);
  };
  for (const folder of ["/usr/local/bin", "/etc/nginx"]) mkdirSync(at(folder), { recursive: true });
  const server = await startServer({ "public-url": `https://${NAME}` });
  write("/etc/m25-mail/server.env", `M25_MAIL_PORT=${new URL(server.url).port}`);
  const power = new Power();
  const active = new Set(installed.slice(0, 1));
  const [log, printed, done, answers] = [[], [], [], []] as [string[], string[], string[], string[]];
  /** The program that holds each port. */
  const ports = new Map<string, string>();
  /** The commands that fail. */
  const broken = new Set<string>();
  const run: Machine["run"] = async (command, args, timeout) => {
    power.step();
    const name = command.split("/").at(-1) ?? "";
    if (["openssl", "diff"].includes(name)) return await thisMachine.run(command, args, timeout);
    const holder = ports.get(args.at(-1)?.split(":").at(-1) ?? "");
    const stdout = name === "ss" && holder !== undefined ? `LISTEN users:(("${holder}",pid=1,fd=6))` : "";
    return { code: broken.has(name) ? 1 : 0, stdout, stderr: "" };
  };
  const find: Machine["find"] = async (name) => (installed.includes(name) ? `/usr/sbin/${name}` : undefined);
  const machine: Machine = {
    ...thisMachine,
    root: true,
    run,
    find,
    clock: quickClock(),
    log: (line) => void log.push(line),
    print: (text) => void printed.push(text),
  };
  const units: Host["units"] = {
    isActive: async (unit) => active.has(unit),
    async start(unit, again) {
      power.step();
      done.push(again && active.has(unit) ? `restart ${unit}` : `start ${unit}`);
      active.add(unit);
    },
    async reload(unit) {
      power.step();
      done.push(`reload ${unit}`);
    },
    restartRunning: async () => undefined,
    stop: async () => undefined,
  };
  const host: Host = { machine, units, resolver: new Resolver(), at, ask: async () => answers.shift() };
  const checkout = plantedCheckout();
  const given = {
    program: { folder: checkout, command: join(checkout, "deploy/m25-mail") },
    withDatabase: async <Result>(
      use: (runtime: ReturnType<typeof testRuntime>["runtime"]) => Promise<Result>,
    ) => use(testRuntime(server.store).runtime),
  };
  const setUp = async (argv: readonly string[] = [], signal = new AbortController().signal) => {
    const { values } = parseFlags(["--host-name", NAME, ...argv], usageFor(["setup"])?.flags ?? {});
    return await setUpServer(host, wishesOf(values), given, signal);
  };
  const read = (path: string) => readFileSync(at(path), "utf8");
  return {
    host,
    server,
    checkout,
    power,
    active,
    ports,
    broken,
    log,
    printed,
    done,
    answers,
    setUp,
    read,
    write,
  };
}

/** This checkout's files for a set-up, and a program that is never started. */
function plantedCheckout(): string {
  const folder = temporaryFolder();
  cpSync(DEPLOY, join(folder, "deploy"), { recursive: true });
  mkdirSync(join(folder, "dist"));
  writeFileSync(join(folder, "dist/m25-mail.js"), "one build");
  return folder;
}

/** Each file's text, but for certificates, which differ each time. */
export function filesOf({ at }: Host): Record<string, string> {
  const names = readdirSync(at("/"), { recursive: true, encoding: "utf8" }).filter(
    (name) => !/etc\/ssl|m25-mail-server-setup/.test(name) && statSync(at(name)).isFile(),
  );
  return Object.fromEntries(
    names.sort().map((name) => [name.replace(/\d{14}$/, "TIME"), readFileSync(at(name), "utf8")]),
  );
}
