import type { Stats } from "node:fs";
import { chmod, lstat, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { KeyConfig } from "../config.ts";
import { ConfigurationError, explain, NotAccepted, systemCode, UsageError } from "../faults.ts";
import type { Machine } from "../machine.ts";
import { type Client, openClient } from "./client.ts";
import { isKey, readAuthorities, readKey } from "./key-file.ts";

/** What the key file shall be like before it takes its place. */
interface Ownership {
  mode: number;
  /** undefined: as the process's own. */
  owner?: { uid: number; gid: number };
}

const PRIVATE: Ownership = { mode: 0o600 };

/** What a caller puts in the place of this machine. */
export interface KeyDependencies {
  machine: Machine;
  version: string;
  signal?: AbortSignal | undefined;
}

const STARTED = "the fresh key is in its place, and the old one ends when the next poll uses it";

/**
 * Exchanges the key that add_node gave, read from standard input, for one that only the key file ever holds.
 *
 * Wherever it stops there is a way on: until the fresh key is used the pasted one is valid, for a day at most,
 * and join can be run again; once the key file is written, the next poll is that use.
 *
 * @throws UsageError, ConfigurationError (a key file is there already), NotAccepted, TemporaryFailure, WrongAnswer
 */
export async function joinServer(
  config: KeyConfig,
  { machine, version, signal }: KeyDependencies,
): Promise<void> {
  const { keyFile } = config;
  if ((await find(keyFile)) !== undefined) {
    throw new ConfigurationError(
      `there is a key file ${keyFile} already, and join overwrites none: a poll uses it, ` +
        "m25-mail-node rotate exchanges it; to take a key that m25-mail node rotate-key printed, or to make this another " +
        "node, remove the file and run join again with that key",
    );
  }
  const ca = await readAuthorities(config.caFile);
  const pasted = (await machine.readSecret("Sync key (it is not shown): ")).trim();
  if (pasted === "") {
    throw new UsageError("there is no key on standard input: paste the sync_key that m25_mail_add_node gave");
  }
  if (!isKey(pasted)) throw new UsageError("what stands on standard input is not a sync key on one line");
  await makeKeyFolder(keyFile);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    await exchange(
      client,
      { keyFile, key: pasted, ownership: PRIVATE, undo: () => rm(keyFile) },
      machine.log,
    );
  } finally {
    client.close();
  }
  machine.print(`joined: ${keyFile} holds this node's own key, and the one that was pasted has ended\n`);
}

/**
 * Exchanges the key in the key file for a fresh one. At each moment the file holds a key that is valid.
 *
 * @throws ConfigurationError, NotAccepted, TemporaryFailure, WrongAnswer
 */
export async function rotateKey(
  config: KeyConfig,
  { machine, version, signal }: KeyDependencies,
): Promise<void> {
  const { keyFile } = config;
  const key = await readKey(machine, keyFile);
  const found = await lstat(keyFile);
  if (!found.isFile()) {
    throw new ConfigurationError(`the key file ${keyFile} is a link: name the file that it leads to`);
  }
  const ownership = ownershipLike(machine, found);
  const ca = await readAuthorities(config.caFile);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    await exchange(
      client,
      { keyFile, key, ownership, undo: () => write(keyFile, key, ownership) },
      machine.log,
    );
  } finally {
    client.close();
  }
  machine.print(`rotated: ${keyFile} holds a fresh key, and the one before has ended\n`);
}

/** A key that is exchanged, and the file that the fresh one goes into. */
interface Exchange {
  key: string;
  keyFile: string;
  ownership: Ownership;
  /** Puts the file back as it was. */
  undo(): Promise<void>;
}

async function exchange(
  client: Client,
  { key, keyFile, ownership, undo }: Exchange,
  log: (line: string) => void,
): Promise<void> {
  const fresh = await client.exchangeKey(key);
  await write(keyFile, fresh, ownership);
  try {
    await client.proveKey(fresh);
  } catch (error) {
    if (error instanceof NotAccepted) {
      // It was not used, so the old one has not ended: another server answered, or a copy was put back.
      await undo();
      log(`the server does not take the key that it has just given: ${keyFile} is as it was`);
    } else {
      log(STARTED);
    }
    throw error;
  }
}

/** On the disk when it returns, at once: the file holds the old key or the new one. */
async function write(keyFile: string, key: string, { mode, owner }: Ownership): Promise<void> {
  const staged = `${keyFile}.new`;
  await rm(staged, { force: true });
  try {
    const file = await open(staged, "wx", 0o600);
    try {
      await file.writeFile(`${key}\n`);
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staged, keyFile);
  } catch (error) {
    await rm(staged, { force: true });
    throw error;
  }
  const folder = await open(dirname(keyFile), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Who polls with the file must be able to read the next one, too; nobody beyond its group ever. */
function ownershipLike({ root }: Machine, found: Stats): Ownership {
  const mode = 0o600 | (found.mode & 0o040);
  return root ? { mode, owner: { uid: found.uid, gid: found.gid } } : { mode };
}

async function find(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function makeKeyFolder(keyFile: string): Promise<void> {
  const folder = dirname(keyFile);
  if ((await find(folder)) !== undefined) return;
  try {
    await makeFolder(folder, 0o700);
  } catch (error) {
    throw new ConfigurationError(`the folder of the key file cannot be created: ${explain(error)}`);
  }
}

/** Not mkdir's own `recursive`: in a place where nothing can be made, such as /proc, that of Node 20 never ends. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (systemCode(error) === "EEXIST" && (await find(`${path}/.`))?.isDirectory() === true) return;
    if (systemCode(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makeFolder(dirname(path), 0o755);
    await mkdir(path);
  }
  await chmod(path, mode);
}
