import { createHash } from "node:crypto";
import { join } from "node:path";
import { onOneLine, PostmapFailed } from "./faults.ts";
import { names } from "./folder.ts";
import type { CommandResult, Host, Lock } from "./host.ts";
import { replaceFile } from "./staging.ts";

const TIMEOUT = 300_000;
/** Of a question to Postfix. */
const QUESTION_TIMEOUT = 30_000;
/** Postfix's commands doze while their main.cf is under two seconds old. */
const BACKDATED = 60;

/** Fewer free bytes than this, besides twice what the map needs, are called a full disk. */
const SPARE = 1 << 20;

/**
 * Builds `source`.lmdb from the text file `source` with Postfix's own postmap, and proves it: on a full disk
 * postmap 3.7 says nothing, exits 0 and leaves the old content, or an empty map, which answers 550 to all mail.
 * Where the .lmdb is there already it is changed in place, in one transaction that readers see at once.
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
  const run = async (args: readonly string[], output?: (piece: Buffer) => void): Promise<CommandResult> => {
    const all = ["-c", folder, ...args, `lmdb:${join(out, source)}`];
    try {
      return await host.run(command, all, { lock, timeout: TIMEOUT, ...(output && { output }) });
    } catch (error) {
      throw new PostmapFailed(`postmap cannot be run: ${(error as Error).message}`, "failed");
    }
  };

  const built = await run([]);
  if (built.code !== 0) {
    const words = onOneLine(built.stderr);
    if (/No space left|quota exceeded/i.test(words))
      throw new PostmapFailed(`the disk is full: ${words}`, "disk_full");
    if (!/unsupported dictionary type/i.test(words))
      throw new PostmapFailed(`postmap failed on ${source}: ${words}`, "failed");
    throw new PostmapFailed(
      `postmap makes no .lmdb (Debian: apt-get install postfix-lmdb): ${words}`,
      "not_supported",
    );
  }

  const wanted = createHash("sha256");
  let size = 0;
  for await (const piece of host.files.readPieces(join(out, source))) {
    wanted.update(piece.replaceAll(" ", "\t"), "latin1");
    size += piece.length;
  }
  // It lists a map in the order of its keys' bytes, which is that of the text.
  const held = createHash("sha256");
  await run(["-s"], (piece) => held.update(piece));
  if (held.digest("hex") === wanted.digest("hex")) return;
  const full = (await host.files.free(out)) < SPARE + 2 * size;
  if (full) throw new PostmapFailed(`the disk is full: postmap could not write ${source}`, "disk_full");
  throw new PostmapFailed(`${source}.lmdb does not hold what postmap was given`, "failed");
}

/** An empty main.cf of the program's own, so that no Postfix needs to be configured on this machine. */
export async function configurationFolder(host: Host, out: string): Promise<string> {
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

/** Runs a command; one that cannot be started ends as one that failed. */
export async function runQuietly(
  host: Host,
  command: string,
  args: readonly string[],
): Promise<CommandResult> {
  try {
    return await host.run(command, args, { timeout: QUESTION_TIMEOUT });
  } catch (error) {
    return { code: null, stdout: "", stderr: `cannot be run: ${(error as Error).message}` };
  }
}
