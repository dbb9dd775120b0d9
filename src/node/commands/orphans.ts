import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigurationError, type ExitCode, exitCodes, systemCode } from "../faults.ts";
import type { Machine } from "../machine.ts";
import { literal } from "../replica/sqlite.ts";
import { withState } from "./state.ts";

/** DOMAIN/LOCAL.ID */
const HOME = /^(.+)\.([0-9a-f]{16})$/;
/** Folders to look up in one statement. */
const BATCH = 1000;

/**
 * Lists the mail folders that belong to no served mailbox. `inactive` is a file with the ids of soft-deleted mailboxes: their
 * folders are listed separately, because a restored mailbox needs its folder.
 *
 * @throws ConfigurationError if there is no state, or the list cannot be read
 */
export async function listOrphans(
  machine: Machine,
  { out, mailRoot, inactive }: { out: string; mailRoot: string; inactive: string | undefined },
): Promise<ExitCode> {
  const soft = inactive === undefined ? new Set<string>() : await readIds(inactive);
  return await withState(machine, out, "read", async ({ replica, meta }) => {
    if (meta === undefined || meta.role !== "mail")
      throw new ConfigurationError(`--out ${out} holds no state of a node with mailboxes`);
    for await (const folders of foldersOf(mailRoot)) {
      const served = new Set(
        await replica.db.run(`SELECT value FROM json_each(${literal(folders)}) AS f JOIN state.mailbox m
          ON m.domain = substr(f.value, 1, instr(f.value, '/') - 1)
          AND m.local || '.' || m.id = substr(f.value, instr(f.value, '/') + 1);`),
      );
      for (const folder of folders) {
        if (served.has(folder)) continue;
        const id = HOME.exec(folder)?.[2] ?? "";
        machine.print(`${soft.has(id) ? "soft-deleted" : "orphan"} ${join(mailRoot, folder)}\n`);
      }
    }
    return exitCodes.done;
  });
}

async function readIds(path: string): Promise<Set<string>> {
  const text = await readFile(path, "utf8").catch((error) => {
    throw new ConfigurationError(`--inactive ${path} cannot be read (${systemCode(error) ?? error})`);
  });
  return new Set(text.match(/\b[0-9a-f]{16}\b/g));
}

/** The folders two levels below the root, as DOMAIN/FOLDER, in batches. */
async function* foldersOf(mailRoot: string): AsyncGenerator<string[]> {
  let folders: string[] = [];
  for (const domain of await namesIn(mailRoot)) {
    for (const folder of await namesIn(join(mailRoot, domain))) {
      folders.push(`${domain}/${folder}`);
      if (folders.length < BATCH) continue;
      yield folders;
      folders = [];
    }
  }
  if (folders.length > 0) yield folders;
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    throw new ConfigurationError(`--mail-root ${folder} cannot be read (${systemCode(error) ?? error})`);
  }
}
