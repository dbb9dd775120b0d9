/**
 * The app passwords of a mailbox, as a JSON array in the order of their selectors; NULL without any. In the mailbox's own row
 * they share its fate: another address, a copy in a restore, a removal.
 */
export const appPasswords = "ALTER TABLE users ADD COLUMN app_passwords TEXT";
