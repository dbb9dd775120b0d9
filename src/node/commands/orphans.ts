import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { ConfigurationError, systemCode } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import type { OrphansConfig } from "../config.ts";
import { type ExitCode, exitCodes } from "../faults.ts";
import { literal } from "../replica/sqlite.ts";
import { withState } from "./state.ts";

/** Folders to hand over in one statement. */
const BATCH = 1000;

/**
 * Lists the mail folders that belong to no served mailbox. `inactive` is a file with the ids of soft-deleted mailboxes: their
 * folders are listed separately, because a restored mailbox needs its folder.
 *
 * @throws ConfigurationError if there is no state, or the list cannot be read
 */
export async function listOrphans(
  machine: Machine,
  { out, mailRoot, inactive, json }: OrphansConfig,
): Promise<ExitCode> {
  const soft = inactive === undefined ? new Set<string>() : await readIds(inactive);
  return await withState(machine, out, "read", async ({ replica, meta }) => {
    if (meta === undefined || meta.role !== "mail")
      throw new ConfigurationError(`--out ${out} has no state of a node with mailboxes`);
    await replica.db.run("CREATE TEMP TABLE folder(path TEXT PRIMARY KEY) WITHOUT ROWID;");
    for await (const folders of foldersOf(mailRoot)) {
      await replica.db.run(`INSERT INTO temp.folder SELECT value FROM json_each(${literal(folders)});`);
    }
    const homes = "SELECT substr(id, 1, 2) || '/' || id FROM state.mailbox WHERE id IS NOT NULL";
    await replica.db.run(
      `SELECT path FROM temp.folder WHERE path NOT IN (${homes}) ORDER BY path;`,
      (paths) => {
        for (const path of paths) {
          const kind = soft.has(basename(path)) ? "soft-deleted" : "orphan";
          const folder = join(mailRoot, path);
          machine.print(`${json ? JSON.stringify({ kind, folder }) : `${kind} ${folder}`}\n`);
        }
      },
    );
    return exitCodes.done;
  });
}

async function readIds(path: string): Promise<Set<string>> {
  const text = await readFile(path, "utf8").catch((error) => {
    throw new ConfigurationError(`--inactive ${path} cannot be read (${systemCode(error) ?? error})`);
  });
  return new Set(text.match(/\b[0-9a-f]{16}\b/g));
}

/** The folders two levels below the root, as XX/ID, in batches. */
async function* foldersOf(mailRoot: string): AsyncGenerator<string[]> {
  let folders: string[] = [];
  for (const parent of await namesIn(mailRoot)) {
    for (const folder of await namesIn(join(mailRoot, parent))) {
      folders.push(`${parent}/${folder}`);
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
