import { ConfigurationError, explain, systemCode } from "./faults.ts";
import type { Host } from "./host.ts";

/**
 * The sync key: the file's one line.
 *
 * @throws ConfigurationError when there is none; its message never holds any of the file
 */
export async function readKey(host: Host, path: string): Promise<string> {
  let text: string | undefined;
  try {
    text = await host.files.read(path);
  } catch (error) {
    const why = systemCode(error) === "EISDIR" ? `${path}: is a directory` : explain(error);
    throw new ConfigurationError(`the key file cannot be read: ${why}`);
  }
  if (text === undefined) throw new ConfigurationError(`there is no key file ${path}`);
  const key = text.trim();
  // What fits into a header, and looks like a key rather than like a file of something else.
  if (!/^[\x21-\x7e]{16,512}$/.test(key)) {
    throw new ConfigurationError(`the key file ${path} does not hold one sync key on one line`);
  }
  const { mode } = (await host.files.stat(path)) ?? { mode: 0 };
  if ((mode & 0o077) !== 0) host.log(`warning: others may read the key file ${path}: chmod 600 it`);
  return key;
}
