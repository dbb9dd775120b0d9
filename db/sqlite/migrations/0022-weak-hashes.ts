/**
 * The Dovecot of each node by its last report, and an index on the mailboxes whose hashes Dovecot 2.4 refuses.
 */
export const weakHashes = `
ALTER TABLE nodes ADD COLUMN dovecot_version TEXT;

CREATE INDEX users_weak ON users (domain_id)
  WHERE active = 1 AND (password_hash GLOB '{*MD5*}*' OR password_hash GLOB '{DES-CRYPT}*');
`;
