import { randomBytes } from "node:crypto";

/**
 * The id of a mailbox: 16 hexadecimal digits. The mailbox's home on the nodes is named after it, so that the next
 * owner of an address never sees the former owner's mail after a hard delete, and a renamed mailbox keeps its mail.
 */
export const MAILBOX_ID = /^[0-9a-f]{16}$/;

export function newMailboxId(): string {
  return randomBytes(8).toString("hex");
}
