/** The passwords of mailboxes whose login is off. Nodes do not get them. */
export const heldHashes = "ALTER TABLE users ADD COLUMN held_hash TEXT";
