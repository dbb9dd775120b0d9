/** Writes the files of m25-mail-node without it, to test the daemons apart from our programs. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import bcrypt from "bcrypt";
import { mustRun } from "./processes.ts";

export interface TestUser {
  readonly address: string;
  readonly password: string;
  readonly quotaMb?: number;
}

export interface NodeFolders {
  readonly out: string;
  readonly mailRoot: string;
  remove(): void;
}

/** Writes Dovecot's passwd-file. */
export async function writeUsers(out: string, mailRoot: string, users: readonly TestUser[]): Promise<void> {
  const lines = users.map(({ address, password, quotaMb = 10 }) => {
    const [local, domain] = address.split("@");
    const quota = `userdb_quota_rule=*:storage=${quotaMb}M userdb_quota_storage_size=${quotaMb}M`;
    // Cost 4, the lowest: these tests do not measure the time of a log-in.
    return `${address}:{BLF-CRYPT}${bcrypt.hashSync(password, 4)}::::${mailRoot}/${domain}/${local}.k7q2m5::${quota}\n`;
  });
  const file = join(out, "users");
  const previous = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  writeFileSync(`${file}.new`, lines.join(""));
  chownSync(`${file}.new`, 0, Number((await mustRun("getent", "group", "dovecot")).split(":")[2]));
  chmodSync(`${file}.new`, 0o640);
  // Dovecot tells two versions apart by whole seconds.
  const modified = Math.max(Date.now(), previous + 1000) / 1000;
  utimesSync(`${file}.new`, modified, modified);
  renameSync(`${file}.new`, file);
}

/** Writes Postfix's maps for these addresses and their domains, as text and as lmdb. */
export async function writePostfixMaps(out: string, addresses: readonly string[]): Promise<void> {
  const domains = [...new Set(addresses.map((address) => address.split("@")[1]))];
  const maps = {
    domains: domains.map((domain) => `${domain} ${domain}\n`),
    mailboxes: addresses.map((address) => `${address} ${address}\n`),
    senders: addresses.map((address) => `${address} ${address}\n`),
  };
  // postmap requires a configuration folder, even an empty one.
  const config = mkdtempSync(join(tmpdir(), "m25-postmap-"));
  try {
    writeFileSync(join(config, "main.cf"), "");
    utimesSync(join(config, "main.cf"), 1, 1);
    for (const [name, lines] of Object.entries(maps)) {
      writeFileSync(join(out, name), lines.join(""));
      await mustRun("postmap", "-c", config, `lmdb:${join(out, name)}`);
      chmodSync(join(out, `${name}.lmdb`), 0o640);
    }
  } finally {
    rmSync(config, { recursive: true, force: true });
  }
}

/** Creates a folder for `out` and one for the mail. `remove` removes both. */
export function nodeFolders(): NodeFolders {
  const folder = mkdtempSync(join(tmpdir(), "m25-node-"));
  const [out, mailRoot] = [join(folder, "out"), join(folder, "vmail")];
  mkdirSync(out, { mode: 0o711 });
  mkdirSync(mailRoot, { mode: 0o750 });
  return { out, mailRoot, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Creates the folders of a node that has these users. */
export async function foldersFor(users: readonly TestUser[]): Promise<NodeFolders> {
  const folders = nodeFolders();
  await writeUsers(folders.out, folders.mailRoot, users);
  await writePostfixMaps(
    folders.out,
    users.map(({ address }) => address),
  );
  return folders;
}
