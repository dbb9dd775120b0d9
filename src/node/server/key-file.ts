import { X509Certificate } from "node:crypto";
import { lstat, readFile } from "node:fs/promises";
import { ConfigurationError, systemCode } from "../../machine/faults.ts";
import type { Machine } from "../../machine/machine.ts";
import { explain } from "../faults.ts";

/**
 * The sync key: the file's one line.
 *
 * @throws ConfigurationError if there is no key; its message repeats nothing of the file
 */
export async function readKey(machine: Machine, path: string): Promise<string> {
  const missing = "m25-mail-node join makes it, from the key that add-node gave for this node at the server";
  const key = (await readConfigured("the key file", path, missing)).trim();
  if (!isKey(key)) {
    throw new ConfigurationError(`the key file ${path} does not hold one sync key on one line`);
  }
  const found = await lstat(path);
  if (found.isFile() && (found.mode & 0o077) !== 0) {
    machine.log(`warning: not only its owner may read the key file ${path} (chmod 600)`);
  }
  return key;
}

/** True for a text that fits into a header, and looks like a key and not like another file. */
export function isKey(text: string): boolean {
  return /^[\x21-\x7e]{16,512}$/.test(text);
}

/** The public part of a key, by which the server names it; undefined for keys of other server programs. */
export function keyId(key: string): string | undefined {
  return /^m25[a-z]+_([0-9a-f]{16})_/.exec(key)?.[1];
}

/** The authorities to trust, as PEM; undefined for the system's. @throws ConfigurationError */
export async function readAuthorities(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const pem = await readConfigured("the --ca file", path);
  try {
    new X509Certificate(pem);
  } catch {
    throw new ConfigurationError(`the --ca file ${path} does not begin with a certificate in PEM form`);
  }
  return pem;
}

async function readConfigured(what: string, path: string, missing?: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") {
      const advice = missing === undefined ? "" : `: ${missing}`;
      throw new ConfigurationError(`${what} ${path} does not exist${advice}`);
    }
    throw new ConfigurationError(
      `${what} cannot be read: ${systemCode(error) === "EISDIR" ? path : explain(error)}`,
    );
  }
}
