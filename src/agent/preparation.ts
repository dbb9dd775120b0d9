import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import type { Commands } from "./apply.ts";
import type { Config } from "./config.ts";
import { ConfigurationError, explain, failureReason, systemCode } from "./faults.ts";
import type { Host } from "./host.ts";

/**
 * The sync key: the file's one line.
 *
 * @throws ConfigurationError when there is none; its message never holds any of the file
 */
export async function readKey(host: Host, path: string): Promise<string> {
  const missing =
    "m25-mail-node join makes it, from the key that m25_mail_add_node gave for this node at the server";
  const key = (await readConfigured(host, "the key file", path, missing)).trim();
  if (!isKey(key)) {
    throw new ConfigurationError(`the key file ${path} does not hold one sync key on one line`);
  }
  const found = await host.files.stat(path);
  if (found?.regular === true && (found.mode & 0o077) !== 0) {
    host.log(`warning: others than its owner may read the key file ${path} (chmod 600)`);
  }
  return key;
}

/** What fits into a header, and looks like a key rather than like a file of something else. */
export function isKey(text: string): boolean {
  return /^[\x21-\x7e]{16,512}$/.test(text);
}

/** The public part of a key, by which the server names it; undefined of a server of another make. */
export function keyId(key: string): string | undefined {
  return /^m25[a-z]+_([0-9a-f]{16})_/.exec(key)?.[1];
}

/** The authorities to trust, as PEM; undefined where the usual ones are meant. @throws ConfigurationError */
export async function readAuthorities(host: Host, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const pem = await readConfigured(host, "the --ca file", path);
  try {
    new X509Certificate(pem);
  } catch {
    throw new ConfigurationError(`the --ca file ${path} does not begin with a certificate in PEM form`);
  }
  return pem;
}

async function readConfigured(host: Host, what: string, path: string, missing?: string): Promise<string> {
  let text: string | undefined;
  try {
    text = await host.files.read(path);
  } catch (error) {
    throw new ConfigurationError(
      `${what} cannot be read: ${systemCode(error) === "EISDIR" ? path : explain(error)}`,
    );
  }
  if (text === undefined) {
    const advice = missing === undefined ? "" : `: ${missing}`;
    throw new ConfigurationError(`${what} ${path} does not exist${advice}`);
  }
  return text;
}

/** @throws ConfigurationError when one that is needed is not installed */
export async function findCommands(host: Host, config: Config): Promise<Commands> {
  const postmap = await host.find("postmap");
  if (postmap === undefined) {
    throw new ConfigurationError("postmap is not installed (Debian: apt-get install postfix postfix-lmdb)");
  }
  const postconf = await host.find("postconf");
  const { dovecotConfig, postfixConfig } = config;
  if (postfixConfig !== undefined && (await host.files.stat(join(postfixConfig, "main.cf"))) === undefined)
    throw new ConfigurationError(`the --postfix-config folder ${postfixConfig} has no main.cf`);
  const doveadm = await host.find("doveadm");
  if (dovecotConfig === undefined)
    return { postmap, postconf, doveadm: doveadm === undefined ? undefined : [doveadm] };
  if (doveadm === undefined)
    throw new ConfigurationError("--dovecot-config is given, and doveadm is not installed");
  if ((await host.files.stat(dovecotConfig)) === undefined) {
    throw new ConfigurationError(`the --dovecot-config file ${dovecotConfig} does not exist`);
  }
  return { postmap, postconf, doveadm: [doveadm, "-c", dovecotConfig] };
}

/**
 * Dovecot must reach the files in DIR, so a new one is 0755: what is in it has modes of its own.
 *
 * @throws ConfigurationError when it cannot be
 */
export async function makeOutDirectory(host: Host, out: string): Promise<void> {
  try {
    await host.files.makeDirectory(out);
  } catch (error) {
    if (failureReason(error) === "disk_full") throw error;
    throw new ConfigurationError(`--out ${out} cannot be created: ${explain(error)}`);
  }
  // With the dot, a link to a directory is looked at as what it leads to.
  const found = await host.files.stat(join(out, "/."));
  if (((found?.mode ?? 0) & 0o002) !== 0) host.log(`warning: anybody may write to --out ${out} (chmod 755)`);
}
