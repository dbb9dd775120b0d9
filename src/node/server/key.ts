import type { Stats } from "node:fs";
import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { UsageError } from "../../command-line/usage-error.ts";
import { type Ownership, writeDurably } from "../../machine/durable-file.ts";
import { absent, ConfigurationError, systemCode } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import type { KeyConfig } from "../config.ts";
import { explain, NotAccepted } from "../faults.ts";
import { Client } from "./client.ts";
import { isKey, readAuthorities, readKey } from "./key-file.ts";

const PRIVATE: Ownership = { mode: 0o600 };

/** Dependencies, which tests replace. */
export interface KeyDependencies {
  machine: Machine;
  version: string;
  signal?: AbortSignal | undefined;
}

const STARTED = "the key file holds the fresh key, and the old one ends when the next poll uses it";

/**
 * Exchanges the key from add_node, read from standard input, for one that only the key file holds.
 *
 * It may stop anywhere. Until the new key is used, the pasted one stays valid, for a day at most, and join can be
 * run again. Once the key file is written, the next poll uses the new key.
 *
 * @throws UsageError, ConfigurationError (the key file exists already), NotAccepted, TemporaryFailure, WrongAnswer
 */
export async function joinServer(
  config: KeyConfig,
  { machine, version, signal }: KeyDependencies,
): Promise<void> {
  const { keyFile } = config;
  if ((await lstat(keyFile).catch(absent)) !== undefined) {
    throw new ConfigurationError(
      `the key file ${keyFile} exists already, and join does not overwrite it. m25-mail-node rotate exchanges its key. ` +
        "To use a key that m25-mail node rotate-key printed, or to make this another node, remove the file and run join again " +
        "with that key",
    );
  }
  const ca = await readAuthorities(config.caFile);
  const pasted = (await machine.readSecret("Sync key (it is not shown): ")).trim();
  if (pasted === "") {
    throw new UsageError(
      "there is no key on standard input: paste the sync_key that add-node gave at the server",
    );
  }
  if (!isKey(pasted))
    throw new UsageError("there is something else on standard input than one sync key on one line");
  await makeKeyFolder(keyFile);
  const client = new Client({ server: config.server, ca, version, signal });
  try {
    await exchange(
      client,
      { keyFile, key: pasted, ownership: PRIVATE, undo: () => rm(keyFile) },
      machine.log,
    );
  } finally {
    client.close();
  }
  machine.print(`joined: ${keyFile} holds this node's own key, and the pasted key has ended\n`);
}

/**
 * Exchanges the key in the key file for a new one. At each moment the file holds a valid key.
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
  const client = new Client({ server: config.server, ca, version, signal });
  try {
    await exchange(
      client,
      { keyFile, key, ownership, undo: () => writeDurably(keyFile, `${key}\n`, ownership) },
      machine.log,
    );
  } finally {
    client.close();
  }
  machine.print(`rotated: ${keyFile} holds a fresh key, and the old key has ended\n`);
}

/** A key to exchange, and the file for the new one. */
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
  await writeDurably(keyFile, `${fresh}\n`, ownership);
  try {
    await client.proveKey(fresh);
  } catch (error) {
    if (error instanceof NotAccepted) {
      // The new key was not used, so the old one has not ended: another server answered, or an older copy was put back.
      await undo();
      log(`the server does not accept the key that it has just given: ${keyFile} is unchanged`);
    } else {
      log(STARTED);
    }
    throw error;
  }
}

/** Keeps owner and group, so that the polling user can read the new file; others never can. */
function ownershipLike({ root }: Machine, found: Stats): Ownership {
  const mode = 0o600 | (found.mode & 0o040);
  return root ? { mode, owner: { uid: found.uid, gid: found.gid } } : { mode };
}

async function makeKeyFolder(keyFile: string): Promise<void> {
  const folder = dirname(keyFile);
  if ((await lstat(folder).catch(absent)) !== undefined) return;
  try {
    await makeFolder(folder, 0o700);
  } catch (error) {
    throw new ConfigurationError(`the folder of the key file cannot be created: ${explain(error)}`);
  }
}

/** Replaces mkdir's `recursive`, which in Node 20 never ends where nothing can be created, as in /proc. */
export async function makeFolder(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path);
  } catch (error) {
    if (systemCode(error) === "EEXIST" && (await lstat(`${path}/.`).catch(absent))?.isDirectory() === true)
      return;
    if (systemCode(error) !== "ENOENT" || dirname(path) === path) throw error;
    await makeFolder(dirname(path), 0o755);
    await mkdir(path);
  }
  await chmod(path, mode);
}
