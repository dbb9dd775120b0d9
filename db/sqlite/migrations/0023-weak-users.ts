/**
 * The active mailboxes whose hashes Dovecot 2.4 refuses, for queries that both engines share. The condition is the text of the
 * index on them, which SQLite compares.
 */
export const weakUsers = `
CREATE VIEW weak_users AS SELECT users.local_part, domains.name AS domain
FROM users INDEXED BY users_weak CROSS JOIN domains ON domains.id = users.domain_id
WHERE active = 1 AND (password_hash GLOB '{*MD5*}*' OR password_hash GLOB '{DES-CRYPT}*') AND erase_after IS NULL;
`;
