/** A private Dovecot: a folder with its configuration, sockets and log. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun, startDaemon } from "./processes.ts";

export interface Dovecot {
  /** The shipped configuration to use. */
  readonly version: "2.3" | "2.4";
  /** The command, with arguments, inside which /usr/sbin/dovecot and /usr/bin/doveadm are this Dovecot's. */
  readonly enter: readonly string[];
}

export async function installedDovecot(): Promise<Dovecot> {
  const version = await mustRun("/usr/sbin/dovecot", "--version");
  return { version: version.startsWith("2.3") ? "2.3" : "2.4", enter: [] };
}

/** Returns the command line of a program of this Dovecot. */
export function dovecotCommand(
  dovecot: Dovecot,
  program: string,
  ...args: readonly string[]
): [string, ...string[]] {
  const [first = program, ...rest] = [...dovecot.enter, program, ...args];
  return [first, ...rest];
}

/**
 * Writes `files` to `folder` and `local` to local.conf beside them, where operators put what differs, and starts Dovecot. Resolves once its ports are bound.
 */
export async function startDovecot(
  dovecot: Dovecot,
  folder: string,
  files: Readonly<Record<string, string>>,
  local: string,
): Promise<void> {
  mkdirSync(folder);
  const config = join(folder, "dovecot.conf");
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  writeFileSync(join(folder, "local.conf"), local);
  await startDaemon(join(folder, "output"), ...dovecotCommand(dovecot, "/usr/sbin/dovecot", "-c", config));
}
