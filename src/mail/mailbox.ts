import { randomBytes } from "node:crypto";

/**
 * The id of a mailbox: 16 hexadecimal digits. The mailbox's home on the nodes is named after it, so that the next
 * owner of an address never sees the former owner's mail after a hard delete, and a renamed mailbox keeps its mail.
 */
export const MAILBOX_ID = /^[0-9a-f]{16}$/;

/** The folder of all homes on a node that sets no other: a mailbox's home is ROOT/XX/ID, XX the first two digits of its id. */
export const DEFAULT_MAIL_ROOT = "/var/vmail";

export function newMailboxId(): string {
  return randomBytes(8).toString("hex");
}
