/** Links by which owners choose their passwords. A mailbox has one at most, which its removal and a new password end. */
export const passwordLinks = `
CREATE TABLE password_links (
  user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  link_id TEXT NOT NULL UNIQUE,
  link_hash TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('first', 'reset')),
  expires_at TEXT NOT NULL
) STRICT;
`;
