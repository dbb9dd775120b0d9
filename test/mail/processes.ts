/** Runs programs and daemons for tests, and leaves none behind. Linux only, as are the daemons. */
import { execFile, spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program for at most two minutes. Resolves with any exit code; 127 if it could not be started. */
export function run(program: string, ...args: readonly string[]): Promise<Finished> {
  return runFor(120, program, ...args);
}

/** The same as `run`, for a program with a limit of its own. */
export function runFor(seconds: number, program: string, ...args: readonly string[]): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: seconds * 1000, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 127;
      resolve({ code, stdout, stderr: stderr === "" && error !== null ? error.message : stderr });
    });
  });
}

/** The same as `run`, but throws the program's output unless it exits with 0. */
export async function mustRun(program: string, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, ...args);
  if (code !== 0) throw new Error(`${program} ${args.join(" ")} exited ${code}: ${stderr}${stdout}`);
  return stdout;
}

/**
 * Starts a daemon that detaches itself and then exits with 0. Throws its output if it fails. The output goes
 * to a file, because a daemon keeps its standard error open and `run` would wait for its end.
 */
export async function startDaemon(
  outputFile: string,
  program: string,
  ...args: readonly string[]
): Promise<void> {
  const output = openSync(outputFile, "a");
  try {
    const child = spawn(program, args, {
      stdio: ["ignore", output, output],
      timeout: 120_000,
      killSignal: "SIGKILL",
    });
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject).once("exit", resolve);
    });
    if (code !== 0)
      throw new Error(`${program} ${args.join(" ")} exited ${code}: ${readFileSync(outputFile, "utf8")}`);
  } finally {
    closeSync(output);
  }
}

/**
 * Waits until `condition` holds. Throws after `seconds`. It checks every 20 ms, and rests three times as long as a check takes: one
 * that starts programs would take the processor from what it waits for.
 */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 60,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  for (;;) {
    const began = Date.now();
    if (await condition()) return;
    if (Date.now() > deadline) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await sleep(Math.max(20, 3 * (Date.now() - began)));
  }
}

/** Returns a process's state letter and parent, from /proc/PID/stat (proc(5)); undefined if it is gone. */
function processStat(pid: number): { state: string; parent: number } | undefined {
  try {
    // The second field is the name in parentheses, which may itself contain spaces and parentheses.
    const [state = "", parent = ""] =
      readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

function alive(pid: number): boolean {
  // Without a pid 1 that reaps orphans, as in many containers, an ended daemon remains as a zombie.
  const found = processStat(pid);
  return found !== undefined && found.state !== "Z";
}

function descendants(pid: number): number[] {
  const all = readdirSync("/proc").map(Number).filter(Number.isInteger);
  const children = all.filter((other) => processStat(other)?.parent === pid);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** Ends the daemon of a pid file and its children, with SIGKILL after 5 s. Does nothing without the file. */
export async function endDaemon(pidFile: string): Promise<void> {
  let pid: number;
  try {
    pid = Number(readFileSync(pidFile, "utf8").trim());
  } catch {
    return;
  }
  if (!Number.isInteger(pid) || pid <= 1 || !alive(pid)) return;
  const tree = [pid, ...descendants(pid)];
  process.kill(pid, "SIGTERM");
  const gone = () => !tree.some(alive);
  await until(`process ${pid} ends`, gone, 5).catch(() => {
    for (const left of tree.filter(alive)) process.kill(left, "SIGKILL");
  });
  await until(`process ${pid} is killed`, gone);
}

/**
 * Cleans up if this process ends without doing so, by SIGTERM, SIGKILL or a test timeout. A shell waits on a
 * pipe that the kernel closes at our end, then ends the daemons and removes their folder. Call the result
 * once everything is cleaned up.
 */
export function watchOver(folder: string, pidFiles: readonly string[]): () => void {
  const script = `folder=$1; shift
    read -r word; [ "$word" = done ] && exit 0
    for file in "$@"; do [ -s "$file" ] && kill -TERM $(cat "$file"); done
    tries=0
    while [ $tries -lt 50 ]; do
      running=no
      for file in "$@"; do [ -s "$file" ] && kill -0 $(cat "$file") && running=yes; done
      [ $running = no ] && break
      tries=$((tries + 1)); sleep 0.1
    done
    rm -rf -- "$folder"`;
  const shell = spawn("sh", ["-c", script, "sh", folder, ...pidFiles], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.unref();
  const pipe = shell.stdin;
  if ("unref" in pipe && typeof pipe.unref === "function") pipe.unref();
  return () => {
    pipe.end("done\n");
  };
}
