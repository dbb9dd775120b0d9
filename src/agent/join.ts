import { dirname } from "node:path";
import { type Client, openClient } from "./client.ts";
import type { KeyConfig } from "./config.ts";
import { ConfigurationError, explain, NotAccepted, UsageError } from "./faults.ts";
import type { FileStat } from "./file-system.ts";
import type { Host } from "./host.ts";
import { isKey, readAuthorities, readKey } from "./preparation.ts";
import { type Ownership, PRIVATE, replaceFile } from "./staging.ts";

/** What a caller puts in the place of this machine. */
export interface KeyDependencies {
  host: Host;
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
  { host, version, signal }: KeyDependencies,
): Promise<void> {
  const { keyFile } = config;
  if ((await host.files.stat(keyFile)) !== undefined) {
    throw new ConfigurationError(
      `there is a key file ${keyFile} already, and join overwrites none: a poll uses it, ` +
        "m25-mail-node rotate exchanges it; to take a key that m25-mail node rotate-key printed, or to make this another " +
        "node, remove the file and run join again with that key",
    );
  }
  const ca = await readAuthorities(host, config.caFile);
  const pasted = (await host.readSecret("Sync key (it is not shown): ")).trim();
  if (pasted === "") {
    throw new UsageError("there is no key on standard input: paste the sync_key that m25_mail_add_node gave");
  }
  if (!isKey(pasted)) throw new UsageError("what stands on standard input is not a sync key on one line");
  await makeKeyFolder(host, keyFile);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    await exchange(host, client, keyFile, pasted, PRIVATE, () => host.files.remove(keyFile));
  } finally {
    client.close();
  }
  host.print(`joined: ${keyFile} holds this node's own key, and the one that was pasted has ended\n`);
}

/**
 * Exchanges the key in the key file for a fresh one. At each moment the file holds a key that is valid.
 *
 * @throws ConfigurationError, NotAccepted, TemporaryFailure, WrongAnswer
 */
export async function rotateKey(
  config: KeyConfig,
  { host, version, signal }: KeyDependencies,
): Promise<void> {
  const { keyFile } = config;
  const key = await readKey(host, keyFile);
  const found = await host.files.stat(keyFile);
  if (found?.regular !== true) {
    throw new ConfigurationError(`the key file ${keyFile} is a link: name the file that it leads to`);
  }
  const ownership = ownershipLike(host, found);
  const ca = await readAuthorities(host, config.caFile);
  const client = openClient({ server: config.server, ca, version, signal });
  try {
    await exchange(host, client, keyFile, key, ownership, () => write(host, keyFile, key, ownership));
  } finally {
    client.close();
  }
  host.print(`rotated: ${keyFile} holds a fresh key, and the one before has ended\n`);
}

/** @param undo puts the file back as it was */
async function exchange(
  host: Host,
  client: Client,
  keyFile: string,
  key: string,
  ownership: Ownership,
  undo: () => Promise<void>,
): Promise<void> {
  const fresh = await client.exchangeKey(key);
  await write(host, keyFile, fresh, ownership);
  try {
    await client.proveKey(fresh);
  } catch (error) {
    if (error instanceof NotAccepted) {
      // It was not used, so the old one has not ended: another server answered, or a copy was put back.
      await undo();
      host.log(`the server does not take the key that it has just given: ${keyFile} is as it was`);
    } else {
      host.log(STARTED);
    }
    throw error;
  }
}

/** On the disk when it returns, at once: the file holds the old key or the new one. */
async function write(host: Host, keyFile: string, key: string, ownership: Ownership): Promise<void> {
  await replaceFile(host.files, `${keyFile}.new`, keyFile, [`${key}\n`], ownership);
}

/** Whoever polls with the file must be able to read the next one, too; nobody beyond its group ever. */
function ownershipLike({ identity }: Host, found: FileStat): Ownership {
  const mode = 0o600 | (found.mode & 0o040);
  return identity.root ? { mode, owner: { uid: found.uid, gid: found.gid } } : { mode };
}

async function makeKeyFolder({ files }: Host, keyFile: string): Promise<void> {
  const folder = dirname(keyFile);
  if ((await files.stat(folder)) !== undefined) return;
  try {
    await files.makeDirectory(folder);
    await files.setMode(folder, 0o700);
  } catch (error) {
    throw new ConfigurationError(`the folder of the key file cannot be created: ${explain(error)}`);
  }
}
