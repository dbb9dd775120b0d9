import { spawn } from "node:child_process";
import { constants, fstatSync } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { diskFiles } from "./file-system.ts";
import type { CommandResult, Host, RunOptions } from "./host.ts";
import { lockFile } from "./lock.ts";
import { readSecret } from "./stdin.ts";

/** Where Debian has what only root uses, and a user's PATH may lack. */
const SYSTEM_FOLDERS = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
/** A list of who is logged in may be long; a complaint is not. */
const MAX_OUTPUT = 1 << 26;
const MAX_COMPLAINT = 1 << 16;

/** The machine that the program runs on. */
export const thisMachine: Host = {
  files: diskFiles,
  clock: { now: () => Date.now(), monotonic: () => performance.now(), sleep },
  run: runCommand,
  find: findCommand,
  lock: (path) => lockFile(path, (line) => thisMachine.log(line)),
  identity: {
    get root() {
      return process.geteuid?.() === 0;
    },
    get groups() {
      return [...(process.getgroups?.() ?? []), process.getegid?.() ?? -1];
    },
    dovecotGroup,
  },
  readSecret,
  log: (line) => void process.stderr.write(`${line.replace(/\p{Cc}+/gu, " ")}\n`),
  get journal() {
    return isJournal();
  },
  print: (text) => void process.stdout.write(text),
  random: () => Math.random(),
};

/** A shell's own JOURNAL_STREAM says nothing of a stderr that was sent elsewhere: systemd.exec(5). */
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

function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const inherited = options.lock === undefined ? [] : [options.lock.fd];
    const child = spawn(command, args, {
      // Nothing of our own environment: it may name other Postfix or Dovecot configurations, or hold secrets.
      env: { PATH: process.env.PATH, LC_ALL: "C" },
      stdio: ["ignore", "pipe", "pipe", ...inherited],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 60_000);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on("data", options.output ?? collector(stdout, MAX_OUTPUT));
    child.stderr?.on("data", collector(stderr, MAX_COMPLAINT));
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

async function dovecotGroup(): Promise<number | undefined> {
  const groups = await readFile("/etc/group", "utf8").catch(() => "");
  const id = /^dovecot:[^:]*:(\d+):/m.exec(groups)?.[1];
  return id === undefined ? undefined : Number(id);
}
