import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Finished } from "./command-process.ts";
import { runCommand } from "./commands.ts";

/** The built program: it starts in a quarter of the time that the sources need. */
export const ENTRY = join(import.meta.dirname, "../../dist/m25-mail.js");

export type { Finished } from "./command-process.ts";

/** Commands that go on until they are stopped. */
const STAYING = ["serve", "stdio", "setup"];

interface Options {
  /** All of standard input, which is then closed. */
  input?: string;
  environment?: Record<string, string | undefined>;
  /** Another program to start, for a command line that leads to ours. */
  command?: readonly [string, ...string[]];
}

/** Returns this process's environment without our settings, and with these; undefined leaves a variable out. */
export function environmentOf(extra: Record<string, string | undefined> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("M25_MAIL_"));
  const all = Object.entries({ ...Object.fromEntries(kept), ...extra });
  return Object.fromEntries(all.filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** Runs `m25-mail` with these arguments until it ends. A short command shares a process with the others: see commands.ts. */
export async function m25mail(args: readonly string[], options: Options = {}): Promise<Finished> {
  const { input = "", environment, command } = options;
  if (command === undefined && !STAYING.includes(args[0] ?? ""))
    return runCommand(ENTRY, { words: args, environment: environmentOf(environment), input });
  const program = startM25mail(args, options);
  program.child.stdin.end(input);
  return program.finished;
}

/** Starts `m25-mail` at a terminal of its own, which shows stdout and stderr. Answers are its standard input. */
export function atTerminal(args: readonly string[], environment: Options["environment"] = {}): Running {
  const line = [process.execPath, ENTRY, ...args].map((word) => `'${word}'`).join(" ");
  return startM25mail(["-qec", line, "/dev/null"], { command: ["script"], environment });
}

/** Kills a program and waits for its end: one that is killed may still write in a folder that is removed next. */
export async function killed(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}

export interface Running {
  child: ChildProcessWithoutNullStreams;
  finished: Promise<Finished>;
  /** Returns the first match in stderr and waits for it. Fails if the program ends without it. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Starts `m25-mail`, which is killed when the test ends. */
export function startM25mail(args: readonly string[], options: Options = {}): Running {
  const [command, ...first] = options.command ?? [process.execPath, ENTRY];
  const child = spawn(command, [...first, ...args], { env: environmentOf(options.environment) });
  const { said, finished } = collect(child);
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const match = pattern.exec(said.stderr);
      if (match !== null) return match;
      const ended = await Promise.race([once(child.stderr, "data").then(() => undefined), finished]);
      if (ended !== undefined && pattern.exec(said.stderr) === null) {
        throw new Error(`m25-mail ended with ${ended.code} and never said ${pattern}:\n${said.stderr}`);
      }
    }
  };
  return { child, finished, says };
}

/** Collects a program's output, so far and to its end. The program is killed when the test ends. */
export function collect(child: ChildProcessWithoutNullStreams): {
  said: { stdout: string; stderr: string };
  finished: Promise<Finished>;
} {
  onTestFinished(() => killed(child));
  const said = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (text: string) => {
      said[stream] += text;
    });
  }
  child.stdin.on("error", () => {}); // it may end before it has read everything
  const finished = once(child, "close").then(([code]) => ({ code: code as number | null, ...said }));
  return { said, finished };
}

export interface Server extends Running {
  url: string;
}

/** Starts `m25-mail serve` as a process of its own, on a port that the system chooses. */
export async function serveProcess(database: string, args: readonly string[] = []): Promise<Server> {
  const running = startM25mail(["serve", "--db", database, "--port", "0", ...args]);
  const [, url = ""] = await running.says(/serves (https?:\/\/\S+)/);
  return { ...running, url };
}
