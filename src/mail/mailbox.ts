import { randomBytes } from "node:crypto";

/**
 * The id of one mailbox: 16 hexadecimal digits. It is part of the mailbox's home on the nodes, so that
 * whoever gets an address after a hard delete never sees the former owner's mail.
 */
export const MAILBOX_ID = /^[0-9a-f]{16}$/;

export function newMailboxId(): string {
  return randomBytes(8).toString("hex");
}
