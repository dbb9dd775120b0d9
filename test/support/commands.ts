import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Command, Finished } from "./command-process.ts";

const PROGRAM = join(import.meta.dirname, "command-process.ts");

let running: ChildProcess | undefined;
let last: Promise<unknown> = Promise.resolve();

/**
 * Runs a command of the built program in a process that stays: to start Node and load the program takes most of a
 * command's half second of processor time. Commands run one after another.
 */
export function runCommand(entry: string, command: Command): Promise<Finished> {
  const finished = last.then(() => answered(entry, command));
  last = finished.catch(() => {});
  return finished;
}

async function answered(entry: string, command: Command): Promise<Finished> {
  running ??= started(entry);
  const child = running;
  const given = new AbortController();
  onTestFinished(() => {
    if (!given.signal.aborted) child.kill("SIGKILL");
  });
  try {
    child.send(command);
    const ended = once(child, "exit", { signal: given.signal }).then(() => {
      throw new Error(`The process of the commands ended at: m25-mail ${command.words.join(" ")}`);
    });
    const [answer] = await Promise.race([once(child, "message", { signal: given.signal }), ended]);
    return answer as Finished;
  } finally {
    given.abort();
  }
}

function started(entry: string): ChildProcess {
  const child = fork(PROGRAM, [entry]);
  child.once("exit", () => {
    running = undefined;
  });
  child.unref();
  child.channel?.unref();
  return child;
}
