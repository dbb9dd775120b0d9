import { Resolver } from "node:dns/promises";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { UsageError } from "../command-line/usage-error.ts";
import { ConfigurationError, onOneLine } from "./faults.ts";
import { type Machine, runQuietly, thisMachine } from "./machine.ts";

/** The machine that setup changes. Tests use a folder in place of its root, and units that do nothing. */
export interface Host {
  machine: Machine;
  units: Units;
  resolver: Resolver;
  /** Where a file of the machine is. */
  at(path: string): string;
  /** Asks at the terminal; undefined without one. */
  ask(question: string): Promise<string | undefined>;
}

/** systemd. */
export interface Units {
  isActive(unit: string): Promise<boolean>;
  /** Starts a unit now and at each boot; restarts it if it runs and `again` is true. @throws ConfigurationError */
  start(unit: string, again: boolean): Promise<void>;
  /** Lets a unit that runs read its files again. @throws ConfigurationError */
  reload(unit: string): Promise<void>;
  /** Restarts a unit, if it runs. */
  restartRunning(unit: string): Promise<void>;
  /** Stops units now and for good; no error if one does not exist. */
  stop(...units: string[]): Promise<void>;
}

/** The same machine until Ctrl-C: then the next step of setup throws. */
export function interruptible(host: Host, signal: AbortSignal): Host {
  return {
    ...host,
    at(path) {
      signal.throwIfAborted();
      return host.at(path);
    },
    units: {
      ...host.units,
      async start(unit, again) {
        signal.throwIfAborted();
        await host.units.start(unit, again);
      },
    },
  };
}

/** A start may wait for another unit, and Dovecot makes parameters at its first. */
const START_TIMEOUT = 120_000;

const units: Units = {
  isActive: async (unit) =>
    (await runQuietly(thisMachine, ["systemctl", "is-active", "--quiet", unit])).code === 0,
  async start(unit, again) {
    // Either would let systemd read all units again, which takes seconds for all services of a mail server.
    const properties = ["show", "--property=NeedDaemonReload,UnitFileState", unit];
    const { stdout } = await runQuietly(thisMachine, ["systemctl", ...properties]);
    if (!stdout.includes("NeedDaemonReload=no")) await systemctl(unit, ["daemon-reload"]);
    if (!/^UnitFileState=enabled$/m.test(stdout)) await systemctl(unit, ["enable", unit]);
    await systemctl(unit, [again ? "restart" : "start", unit]);
  },
  reload: async (unit) => systemctl(unit, ["reload", unit]),
  restartRunning: async (unit) => {
    await runQuietly(thisMachine, ["systemctl", "try-restart", unit], START_TIMEOUT);
  },
  stop: async (...names) => {
    for (const name of names)
      await runQuietly(thisMachine, ["systemctl", "disable", "--now", name], START_TIMEOUT);
  },
};

async function systemctl(unit: string, words: readonly string[]): Promise<void> {
  const { code, stderr } = await runQuietly(thisMachine, ["systemctl", ...words], START_TIMEOUT);
  if (code === 0) return;
  throw new ConfigurationError(
    `systemctl ${words.join(" ")} failed: ${onOneLine(stderr)}. See: journalctl -u ${unit} -n 30`,
  );
}

export const thisHost: Host = {
  machine: thisMachine,
  units,
  // Two questions of three seconds each.
  resolver: new Resolver({ timeout: 3_000, tries: 2 }),
  at: (path) => join("/", path),
  async ask(question) {
    if (!process.stdin.isTTY) return undefined;
    const lines = createInterface({ input: process.stdin, output: process.stderr });
    try {
      return await new Promise((resolve, reject) => {
        lines.once("SIGINT", () => reject(new UsageError("Given up.")));
        lines.once("close", () => resolve(""));
        lines.question(question).then((line) => resolve(line.trim()), reject);
      });
    } finally {
      lines.close();
    }
  },
};
