import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** The longest wait for processes that were told to end: on a busy machine they need time. */
const PATIENCE_MS = 30_000;

const CACHE = "compile-cache";

/** Names to list of a folder that is left behind. */
const MOST_NAMED = 20;

/** A run's folder in memory, where fsync costs nothing; undefined if there is none. */
export function memoryFolder(): string | undefined {
  const folder = join("/dev/shm", basename(tmpdir()));
  return existsSync(folder) ? folder : undefined;
}

/** Gives a run its own temporary folders. The run fails if it leaves files, mounts or processes there. */
export default function setup(): () => Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "m25-run-"));
  chmodSync(folder, 0o1777); // daemons of other users work in it
  process.env.TMPDIR = folder;
  // Programs start in half the time once they have started before.
  process.env.NODE_COMPILE_CACHE = join(folder, CACHE);
  const folders = [folder];
  if (existsSync("/dev/shm")) {
    const memory = join("/dev/shm", basename(folder));
    mkdirSync(memory, { mode: 0o755 });
    folders.push(memory);
  }
  return async () => {
    const began = Date.now();
    let left = leftIn(folders);
    while (left.length > 0 && Date.now() - began < PATIENCE_MS) {
      await pause(100);
      left = leftIn(folders);
    }
    const named = left.map(({ what }) => what()).join("\n");
    for (const { remove } of left) remove();
    // Vitest's workers end after this, and each writes what it has compiled.
    process.once("exit", () => {
      for (const one of folders) rmSync(one, { recursive: true, force: true });
    });
    if (left.length > 0) throw new Error(`A test has left behind:\n${named}`);
  };
}

interface Left {
  what: () => string;
  remove: () => void;
}

/** Returns what is left, in the order in which it can be removed. */
function leftIn(folders: readonly string[]): Left[] {
  return [
    ...processesOf(folders),
    ...mountsIn(folders),
    ...folders
      .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)))
      .filter((path) => basename(path) !== CACHE)
      .map((path) => ({ what: () => fileAt(path), remove: () => {} })),
  ];
}

/** Names a file, or a folder with the first files in it. */
function fileAt(path: string): string {
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return `the file ${path}`;
  const content = readdirSync(path, { recursive: true }).slice(0, MOST_NAMED);
  return `the folder ${path} with ${content.length === 0 ? "nothing" : content.join(", ")}`;
}

function mountsIn(folders: readonly string[]): Left[] {
  const paths = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((path) => folders.some((folder) => path.startsWith(folder)));
  return paths.reverse().map((path) => ({
    what: () => `the mount ${path}`,
    remove: () => void execFileSync("umount", ["--lazy", path]),
  }));
}

/** Returns the processes that work in a run's folder or have it in their environment or arguments. */
function processesOf(folders: readonly string[]): Left[] {
  const found: Left[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const read = (file: string) => readFileSync(join("/proc", pid, file), "utf8");
      if (read("status").includes(`\nPPid:\t${process.pid}\n`)) continue; // a child of the test runner
      const command = read("cmdline").replaceAll("\0", " ");
      const known = [command, read("environ"), readlinkSync(join("/proc", pid, "cwd"))];
      if (folders.some((folder) => known.some((text) => text.includes(folder))))
        found.push({
          what: () => `the process ${pid} ${command}`,
          remove: () => process.kill(Number(pid), "SIGKILL"),
        });
    } catch {} // it has ended, or belongs to another user
  }
  return found;
}
