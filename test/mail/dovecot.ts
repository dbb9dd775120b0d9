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
 * Writes `main` to `folder`/dovecot.conf and `local` to local.conf beside it, the file for operators'
 * changes, and starts Dovecot. Resolves once its ports are bound.
 */
export async function startDovecot(
  dovecot: Dovecot,
  folder: string,
  main: string,
  local: string,
): Promise<void> {
  mkdirSync(folder);
  const config = join(folder, "dovecot.conf");
  writeFileSync(config, main);
  writeFileSync(join(folder, "local.conf"), local);
  await startDaemon(join(folder, "output"), ...dovecotCommand(dovecot, "/usr/sbin/dovecot", "-c", config));
}
