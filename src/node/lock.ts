import { spawn } from "node:child_process";
import { type FileHandle, open, stat } from "node:fs/promises";
import { systemCode } from "../machine/faults.ts";

export interface Lock {
  fd: number;
  /** False once its file was removed or moved away: another process may then lock a new file of that name. */
  holds(): Promise<boolean>;
  release(): Promise<void>;
}

/**
 * Takes the kernel's advisory lock (flock(2)) on `path`, an empty file that stays. Node has no flock; the lock
 * belongs to the open file description, so util-linux's flock(1) takes it on an inherited descriptor and leaves
 * it to us. It ends with the last process that has the descriptor, so it is never stale, and a sqlite3 that
 * outlives a killed run still keeps the next run away.
 *
 * @returns undefined if another process has it
 */
export async function lockFile(path: string, log: (line: string) => void): Promise<Lock | undefined> {
  const file = await open(path, "a", 0o600);
  let taken = false;
  try {
    taken = await flock(file, log);
  } finally {
    if (!taken) await file.close();
  }
  if (!taken) return undefined;
  const holds = async (): Promise<boolean> => {
    const there = await stat(path).catch(() => undefined);
    const { dev, ino } = await file.stat();
    return there?.dev === dev && there.ino === ino;
  };
  return { fd: file.fd, holds, release: () => file.close() };
}

function flock(file: FileHandle, log: (line: string) => void): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn("flock", ["-n", "3"], { stdio: ["ignore", "ignore", "ignore", file.fd] });
    child.once("error", (error) => {
      if (systemCode(error) !== "ENOENT") return reject(error);
      log(
        "warning: flock (util-linux) is not installed: nothing keeps two runs from working at the same time",
      );
      resolve(true);
    });
    child.once("close", (code) => resolve(code === 0));
  });
}
