import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Mode and owner of a new file. */
export interface Ownership {
  mode: number;
  /** undefined for the process's own. */
  owner?: { uid: number; gid: number } | undefined;
}

/** Writes the file atomically and durably: it holds either the old text or the new one. */
export async function writeDurably(path: string, text: string, { mode, owner }: Ownership): Promise<void> {
  const staged = `${path}.m25-new`;
  await rm(staged, { force: true });
  try {
    const file = await open(staged, "wx", 0o600);
    try {
      await file.writeFile(text);
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staged, path);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  }
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
