import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { nodeBundle } from "../../scripts/node-bundle.ts";
import { temporaryFolder } from "./folder.ts";
import { KEY } from "./support.ts";

export const bundledVersion = "1.2.3-test";

/** The shipped program of the node: one file. */
export async function bundle(): Promise<string> {
  const file = join(temporaryFolder(), "m25-mail-node.mjs");
  await build({
    entryPoints: ["src/node-main.ts"],
    ...nodeBundle,
    define: { __M25_MAIL_VERSION__: JSON.stringify(bundledVersion) },
    outfile: file,
    logLevel: "silent",
  });
  return file;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  pid: number;
  kill(signal: NodeJS.Signals): void;
  ended: Promise<Ended>;
  /** Resolves once stderr contains this text. */
  said(text: string): Promise<void>;
}

export function start(
  command: readonly string[],
  options: { env?: NodeJS.ProcessEnv; uid?: number; gid?: number } = {},
): RunOptions {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let stdout = "";
  let stderr = "";
  const listeners = new Set<() => void>();
  child.stdout.on("data", (piece) => {
    stdout += piece;
  });
  child.stderr.on("data", (piece) => {
    stderr += piece;
    for (const listener of listeners) listener();
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return {
    pid: child.pid ?? 0,
    kill: (signal) => void child.kill(signal),
    ended,
    said: (text) =>
      new Promise((resolve) => {
        const listener = (): void => {
          if (stderr.includes(text)) resolve();
        };
        listeners.add(listener);
        listener();
      }),
  };
}

/** The arguments of a node that polls `server`, with its key and its files in `folder`. */
export function argumentsOf(server: { url: URL }, folder: string): string[] {
  writeFileSync(join(folder, "key"), KEY, { mode: 0o600 });
  return ["--server", server.url.href, "--key-file", join(folder, "key"), "--out", join(folder, "out")];
}
