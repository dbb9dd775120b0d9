import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "./version.ts";

/** The node's Debian package, as the build names it. */
export const nodePackageFile = `m25-mail-node_${version}_all.deb`;

export interface NodePackage {
  content: Buffer;
  /** SHA-256, hexadecimal. */
  sum: string;
}

let found: NodePackage | undefined;

/** The package that the build has made; undefined before a build. */
export function builtNodePackage(): NodePackage | undefined {
  found ??= ["", "../../dist"] // beside the bundle, or beside the sources
    .map((folder) => read(join(import.meta.dirname, folder, nodePackageFile)))
    .find((one) => one !== undefined);
  return found;
}

function read(path: string): NodePackage | undefined {
  try {
    const content = readFileSync(path);
    return { content, sum: createHash("sha256").update(content).digest("hex") };
  } catch {
    return undefined;
  }
}
