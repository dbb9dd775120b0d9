import { chmod, chown, lstat, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { absent, ConfigurationError, systemCode } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import type { NodeRole } from "../../sync/records.ts";

/** The files in DIR: those that daemons read, and node.db, which only this program reads. */
export const fileNames = {
  /** A mail node's whole state, which Dovecot reads. */
  logins: "logins.db",
  /** An mx's whole state, without passwords. */
  node: "node.db",
  /** The addresses, which Postfix reads. */
  addresses: "addresses.db",
  /** To whom each mailbox has written before: sending/recipients.ts. */
  recipients: "recipients.db",
  lock: ".lock",
} as const;

export const databases = [fileNames.logins, fileNames.node, fileNames.addresses] as const;

/** The group that may read a file; only root may read the others. */
const groups: Readonly<Record<string, string | undefined>> = {
  [fileNames.logins]: "dovecot",
  [fileNames.addresses]: "postfix",
};

export function stateFile(role: NodeRole): string {
  return role === "mx" ? fileNames.node : fileNames.logins;
}

/**
 * Creates an empty file if there is none, and sets owner and mode before SQLite opens it: `-wal` and `-shm` get the same.
 *
 * @returns its inode number, which changes if somebody replaces the file
 * @throws ConfigurationError if it is not a regular file
 */
export async function prepareFile(machine: Machine, folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  try {
    await (await open(path, "wx", 0o600)).close();
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
  }
  const found = await lstat(path);
  if (!found.isFile()) throw new ConfigurationError(`${path} is not a regular file: remove it`);
  if (machine.root) {
    const group = groups[name];
    const gid = group === undefined ? undefined : await machine.group(group);
    const mode = gid === undefined ? 0o600 : 0o640;
    // SQLite has created -wal and -shm with the file's former owner and mode.
    for (const one of [path, `${path}-wal`, `${path}-shm`]) await setAccess(one, gid ?? 0, mode);
  }
  return String(found.ino);
}

async function setAccess(path: string, gid: number, mode: number): Promise<void> {
  const found = await lstat(path).catch(absent);
  if (found === undefined) return;
  if (found.uid !== 0 || found.gid !== gid) await chown(path, 0, gid).catch(absent);
  if ((found.mode & 0o7777) !== mode) await chmod(path, mode).catch(absent);
}

/** The inode numbers of a database's files; "" for a missing file. */
export interface Inodes {
  file: string;
  wal: string;
  shm: string;
}

export async function inodesOf(folder: string, name: string): Promise<Inodes> {
  const path = join(folder, name);
  const [file, wal, shm] = await Promise.all([inode(path), inode(`${path}-wal`), inode(`${path}-shm`)]);
  return { file, wal, shm };
}

/** When each database and its `-wal` were last written, and their sizes, by name. A `-shm` is written to by whoever reads. */
export async function stampsOf(folder: string): Promise<Map<string, string>> {
  const names = databases.flatMap((name) => [name, `${name}-wal`]);
  const stamps = names.map(async (name) => {
    const found = await stat(join(folder, name), { bigint: true }).catch(() => undefined);
    return [name, `${found?.mtimeNs} ${found?.size}`] as const;
  });
  return new Map(await Promise.all(stamps));
}

export async function hasFile(folder: string, name: string): Promise<boolean> {
  return (await inode(join(folder, name))) !== "";
}

async function inode(path: string): Promise<string> {
  return String((await stat(path).catch(absent))?.ino ?? "");
}

/**
 * Removes an empty file, what a missing one has left, and the `-shm` of a missing `-wal`. Such a `-shm` tells of changes that the new
 * `-wal` does not have: while daemons have it open, SQLite then fails with "disk I/O error (10)".
 */
export async function removeLeftovers(folder: string, name: string): Promise<void> {
  const path = join(folder, name);
  if (await isMissingOrEmpty(path)) await removeDatabase(folder, name);
  else if ((await inode(`${path}-wal`)) === "") await rm(`${path}-shm`, { force: true });
}

/** The place of mxFrame in a `-shm`, in this machine's byte order (www.sqlite.org/walformat.html, 2.1). */
const MX_FRAME = 16;

/**
 * Removes a `-wal` that somebody has emptied, with its `-shm`, which tells of changes in it. SQLite empties one when nobody has the file
 * open any more; the next program that opens it then makes the `-shm` anew.
 *
 * @returns true if there was one
 */
export async function removeEmptiedLog(folder: string, name: string): Promise<boolean> {
  const path = join(folder, name);
  const [log, index] = [`${path}-wal`, await readFile(`${path}-shm`).catch(() => Buffer.alloc(0))];
  if (!(await isMissingOrEmpty(log))) return false;
  if (index.length < MX_FRAME + 4 || index.readUInt32LE(MX_FRAME) === 0) return false;
  for (const one of [log, `${path}-shm`]) await rm(one, { force: true });
  return true;
}

async function isMissingOrEmpty(path: string): Promise<boolean> {
  const found = await lstat(path).catch(absent);
  return found === undefined || (found.isFile() && found.size === 0);
}

/** Renames a damaged file. Daemons that have it open go on with it; others fail for now. */
export async function setAside(folder: string, name: string): Promise<void> {
  const path = join(folder, name);
  await rename(path, `${path}.damaged`);
  await removeDatabase(folder, name);
}

export async function removeDatabase(folder: string, name: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) await rm(join(folder, `${name}${suffix}`), { force: true });
}
