import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const lock = readFileSync(join(import.meta.dirname, "package-lock.json"));
const version = createHash("sha256").update(lock).digest("hex").slice(0, 12);

/** The folder in which `npm run clients` puts the clients: over a gigabyte, so all checkouts share it. */
export const installed = join(
  process.env.XDG_CACHE_HOME || join(homedir(), ".cache"),
  `m25-mail-clients-${version}`,
);

export const packages = join(installed, "node_modules");

export const areInstalled = (): boolean => existsSync(packages);
