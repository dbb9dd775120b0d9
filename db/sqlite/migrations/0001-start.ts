export const start = `
CREATE TABLE state (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  history TEXT NOT NULL,
  revision INTEGER NOT NULL,
  digest TEXT NOT NULL,
  mx_digest TEXT NOT NULL,
  cursor_key TEXT NOT NULL,
  domain_count INTEGER NOT NULL CHECK (domain_count >= 0),
  user_count INTEGER NOT NULL CHECK (user_count >= 0),
  inactive_user_count INTEGER NOT NULL CHECK (inactive_user_count >= 0)
) STRICT;

INSERT INTO state VALUES (
  1, lower(hex(randomblob(16))), 0, '${"0".repeat(64)}', '${"0".repeat(64)}', lower(hex(randomblob(32))), 0, 0, 0
);

CREATE TABLE revisions (
  revision INTEGER PRIMARY KEY,
  digest TEXT NOT NULL,
  at TEXT NOT NULL
) STRICT;

INSERT INTO revisions VALUES (0, '${"0".repeat(64)}', '1970-01-01T00:00:00.000Z');

CREATE TABLE domains (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  user_count INTEGER NOT NULL CHECK (user_count >= 0),
  inactive_user_count INTEGER NOT NULL CHECK (inactive_user_count >= 0),
  digest TEXT NOT NULL,
  mx_digest TEXT NOT NULL,
  revision INTEGER NOT NULL,
  created_at TEXT NOT NULL
) STRICT;

CREATE INDEX domains_revision ON domains (revision);

CREATE TABLE users (
  id INTEGER PRIMARY KEY,
  domain_id INTEGER NOT NULL REFERENCES domains (id),
  local_part TEXT NOT NULL,
  mailbox TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  quota_mb INTEGER NOT NULL CHECK (quota_mb > 0),
  active INTEGER NOT NULL CHECK (active IN (0, 1)),
  revision INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (domain_id, local_part)
) STRICT;

CREATE INDEX users_revision ON users (revision);

CREATE TABLE removals (
  kind TEXT NOT NULL CHECK (kind IN ('domain', 'user')),
  name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  removed_at TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX removals_revision ON removals (revision);

CREATE TABLE nodes (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  ip_address TEXT,
  role TEXT NOT NULL CHECK (role IN ('mail', 'mx')),
  domains TEXT,
  key_id TEXT NOT NULL UNIQUE,
  key_hash TEXT NOT NULL,
  next_key_id TEXT UNIQUE,
  next_key_hash TEXT,
  key_expires_at TEXT,
  accepted_revision INTEGER,
  created_at TEXT NOT NULL,
  last_sync_at TEXT,
  applied_revision INTEGER,
  applied_history TEXT,
  applied_digest TEXT,
  report_status TEXT,
  report_reason TEXT,
  report_count INTEGER,
  program_version TEXT,
  reported_at TEXT
) STRICT;

CREATE TABLE tokens (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  token_id TEXT NOT NULL UNIQUE,
  token_hash TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at TEXT NOT NULL,
  expires_at TEXT,
  last_used_at TEXT
) STRICT;

CREATE TABLE audit_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  principal TEXT NOT NULL,
  door TEXT NOT NULL,
  tool TEXT NOT NULL,
  arguments TEXT NOT NULL,
  revision INTEGER NOT NULL
) STRICT;
`;
