import { dirname } from "node:path";
import type { FileSystem } from "./file-system.ts";
import type { Identity } from "./host.ts";

/** What a file shall be like before it takes its place. */
export interface Ownership {
  mode: number;
  /** undefined: as the process's own. A uid of -1 is left as it is. */
  owner?: { uid: number; gid: number };
}

/** The state and whatever else is only for this program. */
export const PRIVATE: Ownership = { mode: 0o600 };

/** What Postfix reads, before it gives up root's rights. */
export function mapsOwnership({ root }: Identity): Ownership {
  return root ? { mode: 0o640, owner: { uid: 0, gid: 0 } } : { mode: 0o640 };
}

/** Password hashes: for Dovecot's group where this process may give them to it, else for nobody. */
export async function usersOwnership({ root, groups, dovecotGroup }: Identity): Promise<Ownership> {
  const gid = await dovecotGroup();
  if (root)
    return gid === undefined
      ? { mode: 0o600, owner: { uid: 0, gid: 0 } }
      : { mode: 0o640, owner: { uid: 0, gid } };
  return gid !== undefined && groups.includes(gid) ? { mode: 0o640, owner: { uid: -1, gid } } : PRIVATE;
}

/**
 * Writes a whole file under a name that nobody reads. Owner, mode and time are set before the caller renames it,
 * so that its content is never seen with others, and it has reached the disk. Leaves nothing behind when it fails.
 *
 * @param modified seconds since 1970
 */
export async function writeStaged(
  files: FileSystem,
  path: string,
  pieces: Iterable<string>,
  { mode, owner }: Ownership,
  modified?: number,
): Promise<void> {
  await files.remove(path);
  const file = await files.create(path);
  try {
    try {
      for (const piece of pieces) await file.write(piece);
      if (owner !== undefined) await file.setOwner(owner.uid, owner.gid);
      await file.setMode(mode);
      if (modified !== undefined) await file.setModified(modified);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    await removeQuietly(files, [path]);
    throw error;
  }
}

/** Puts a whole file in the place of `path`, at once: whoever looks sees the old content or the new. */
export async function replaceFile(
  files: FileSystem,
  staged: string,
  path: string,
  pieces: Iterable<string>,
  ownership: Ownership,
  modified?: number,
): Promise<void> {
  await writeStaged(files, staged, pieces, ownership, modified);
  try {
    await files.rename(staged, path);
  } catch (error) {
    await removeQuietly(files, [staged]);
    throw error;
  }
  await files.sync(dirname(path));
}

/** On the way out of a fault: what cannot be removed now is removed by the next run. */
export async function removeQuietly(files: FileSystem, paths: readonly string[]): Promise<void> {
  for (const path of paths) await files.remove(path).catch(() => undefined);
}
