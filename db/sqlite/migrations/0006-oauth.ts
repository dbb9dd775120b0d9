export const oauth = `
CREATE TABLE oauth (
  kind TEXT NOT NULL,
  id TEXT NOT NULL,
  grant_id TEXT,
  uid TEXT,
  payload TEXT NOT NULL,
  consumed_at INTEGER,
  expires_at INTEGER,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_grant ON oauth (grant_id) WHERE grant_id IS NOT NULL;
CREATE INDEX oauth_uid ON oauth (uid) WHERE uid IS NOT NULL;
CREATE INDEX oauth_expiry ON oauth (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE operator (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  password_hash TEXT NOT NULL,
  changed_at TEXT NOT NULL
) STRICT;
`;
