import { spawn } from "node:child_process";
import { constants, fstatSync } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { firstInputLine, promptSecret } from "../command-line/secret-input.ts";
import { ConfigurationError, onOneLine } from "./faults.ts";

/** The program's interface to its machine. Tests replace parts of it. */
export interface Machine {
  clock: Clock;
  /** Runs a command to its end. Throws only if it cannot be started. */
  run(command: string, args: readonly string[], timeout?: number): Promise<CommandResult>;
  /** The absolute path of an installed command, or undefined. */
  find(command: string): Promise<string | undefined>;
  /** True for root: only root can give files to the daemons' groups. */
  readonly root: boolean;
  /** The id of a group of this machine, or undefined. */
  group(name: string): Promise<number | undefined>;
  /** The id of a user of this machine, or undefined. */
  user(name: string): Promise<number | undefined>;
  /** Reads one line from standard input; on a terminal, asks `question` and hides the answer. */
  readSecret(question: string): Promise<string>;
  /** One plain line for the operator; goes to stderr. */
  log(line: string): void;
  /** True if stderr goes to journald, which adds the time to each line. */
  readonly journal: boolean;
  /** The output that the user asked for; goes to stdout. */
  print(text: string): void;
  /** From 0 up to 1. */
  random(): number;
}

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds since some moment, to measure durations: nobody sets this clock. */
  monotonic(): number;
  /** Resolves after that many milliseconds, or as soon as `signal` is aborted. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
}

export interface CommandResult {
  /** null if a signal ended it. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Debian's program folders, in case PATH lacks them. */
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];
/** Limits in bytes: a list of sessions may be long, an error message is not. */
const MAX_OUTPUT = 1 << 26;
const MAX_COMPLAINT = 1 << 16;

/** The machine that the program runs on. */
export const thisMachine: Machine = {
  clock: { now: () => Date.now(), monotonic: () => performance.now(), sleep },
  run: runCommand,
  find: findCommand,
  get root() {
    return process.geteuid?.() === 0;
  },
  group: (name) => idIn("/etc/group", name),
  user: (name) => idIn("/etc/passwd", name),
  readSecret: async (question) =>
    process.stdin.isTTY ? await promptSecret(question) : (await firstInputLine()).toString(),
  log: (line) => void process.stderr.write(`${line.replace(/\p{Cc}+/gu, " ")}\n`),
  get journal() {
    return isJournal();
  },
  print: (text) => void process.stdout.write(text),
  random: () => Math.random(),
};

/** Compares JOURNAL_STREAM with stderr itself, which may have been redirected: systemd.exec(5). */
function isJournal(): boolean {
  const { dev, ino } = fstatSync(2);
  return process.env.JOURNAL_STREAM === `${dev}:${ino}`;
}

function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true });
  });
}

function runCommand(command: string, args: readonly string[], timeout = 60_000): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      // Do not pass on our environment: it may name other Postfix or Dovecot configurations, or hold secrets.
      env: { PATH: process.env.PATH, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), timeout);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", collector(stdout, MAX_OUTPUT));
    child.stderr.on("data", collector(stderr, MAX_COMPLAINT));
    child.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() });
    });
  });
}

function collector(pieces: Buffer[], limit: number): (piece: Buffer) => void {
  let size = 0;
  return (piece) => {
    if (size < limit) pieces.push(piece);
    size += piece.length;
  };
}

/** Runs a command. If it cannot be started, the result is a failure. */
export async function runQuietly(
  machine: Machine,
  [command = "", ...args]: readonly string[],
  timeout = 30_000,
): Promise<CommandResult> {
  try {
    return await machine.run(command, args, timeout);
  } catch (error) {
    return { code: null, stdout: "", stderr: `cannot be run: ${(error as Error).message}` };
  }
}

/** True after Ctrl-C. It also ends the command that runs, and that end may be seen a moment before the signal. */
export async function isGivenUp({ clock }: Machine, signal: AbortSignal): Promise<boolean> {
  await clock.sleep(200, signal);
  return signal.aborted;
}

/** Runs a command that must succeed. @throws ConfigurationError */
export async function mustRun(machine: Machine, command: readonly string[]): Promise<void> {
  const { code, stderr } = await runQuietly(machine, command, 60_000);
  if (code !== 0) throw new ConfigurationError(`${command.join(" ")} failed: ${onOneLine(stderr)}`);
}

async function findCommand(command: string): Promise<string | undefined> {
  const folders = [...(process.env.PATH ?? "").split(delimiter), ...SYSTEM_FOLDERS];
  for (const folder of folders.filter((one) => one.startsWith("/"))) {
    const path = join(folder, command);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  return undefined;
}

/** Both files have the name first and the id third: group(5), passwd(5). */
async function idIn(file: string, name: string): Promise<number | undefined> {
  const entries = await readFile(file, "utf8").catch(() => "");
  const id = entries
    .split("\n")
    .find((line) => line.startsWith(`${name}:`))
    ?.split(":")[2];
  return id === undefined ? undefined : Number(id);
}
