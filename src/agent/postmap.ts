import { join } from "node:path";
import { PostmapFailed } from "./faults.ts";
import type { CommandResult, Host, Lock } from "./host.ts";
import { replaceFile } from "./staging.ts";
import { names } from "./state.ts";

const TIMEOUT = 300_000;
/** Postfix's commands doze while their main.cf is under two seconds old. */
const BACKDATED = 60;

/**
 * Builds `source`.lmdb from the text file `source` with Postfix's own postmap. Where the .lmdb is there already
 * it is changed in place, in one transaction that readers see at once.
 *
 * @throws PostmapFailed
 */
export async function postmap(
  host: Host,
  lock: Lock,
  command: string,
  out: string,
  source: string,
): Promise<void> {
  const folder = await configurationFolder(host, out);
  const args = ["-c", folder, `lmdb:${join(out, source)}`];
  let result: CommandResult;
  try {
    result = await host.run(command, args, { lock, timeout: TIMEOUT });
  } catch (error) {
    throw new PostmapFailed(`postmap cannot be run: ${(error as Error).message}`, "failed");
  }
  if (result.code === 0) return;
  const words = plain(result.stderr);
  const kind = /No space left|quota exceeded/i.test(words)
    ? "disk_full"
    : /unsupported dictionary type/i.test(words)
      ? "not_supported"
      : "failed";
  const hint = kind === "not_supported" ? " (Debian's package postfix-lmdb is missing)" : "";
  throw new PostmapFailed(`postmap failed on ${source}${hint}: ${words}`, kind);
}

/** An empty main.cf of the program's own, so that no Postfix needs to be configured on this machine. */
async function configurationFolder(host: Host, out: string): Promise<string> {
  const folder = join(out, names.postfix);
  const file = join(folder, "main.cf");
  const found = await host.files.stat(file);
  if (found?.regular !== true || found.size !== 0) {
    await host.files.makeDirectory(folder);
    const modified = Math.floor(host.clock.now() / 1000) - BACKDATED;
    await replaceFile(host.files, join(folder, ".main.cf.new"), file, [], { mode: 0o644 }, modified);
  }
  return folder;
}

/** What a command said, on one line, without what would upset a terminal. */
export function plain(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
