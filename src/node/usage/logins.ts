import { opendir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { MAILBOX_ID } from "../../mail/mailbox.ts";

/** The day of a time in ms, in UTC. */
export function dayOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/**
 * True if Dovecot notes last logins in this folder: there is one. With an older configuration of Dovecot's nobody does, and a
 * mailbox without a note may be in use.
 */
export async function notesLogins(folder: string): Promise<boolean> {
  const entries = await opendir(folder).catch(() => undefined);
  if (entries === undefined) return false;
  for await (const { name } of entries) if (MAILBOX_ID.test(name)) return true;
  return false;
}

/** The day of a mailbox's last login; null without one. Dovecot writes seconds since 1970. */
export async function lastLogin(folder: string, id: string): Promise<string | null> {
  const text = await readFile(join(folder, id), "utf8").catch(() => "");
  return /^\d{1,11}$/.test(text) ? dayOf(Number(text) * 1000) : null;
}
