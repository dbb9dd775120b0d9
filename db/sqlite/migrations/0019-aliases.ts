/**
 * Aliases, domain aliases and what a person allowed for them. An alias of no domain is the one for postmaster@ and abuse@ of
 * every domain. `live` holds its final targets, a JSON array; `alias_reach` the addresses to which it leads, itself included.
 * Records that belong to no domain are in the state's digests and in `shared_*`.
 */
export const aliases = `
CREATE TABLE aliases (
  id INTEGER PRIMARY KEY,
  domain_id INTEGER REFERENCES domains (id),
  local_part TEXT NOT NULL,
  send_as INTEGER NOT NULL CHECK (send_as IN (0, 1)),
  live TEXT NOT NULL,
  revision INTEGER NOT NULL,
  created_at TEXT NOT NULL,
  updated_at TEXT NOT NULL,
  UNIQUE (domain_id, local_part)
) STRICT;

CREATE INDEX aliases_domain ON aliases (domain_id);
CREATE INDEX aliases_revision ON aliases (revision);

CREATE TABLE alias_targets (
  alias_id INTEGER NOT NULL REFERENCES aliases (id) ON DELETE CASCADE,
  domain TEXT NOT NULL,
  local_part TEXT NOT NULL,
  standing TEXT NOT NULL CHECK (standing IN ('own', 'approved', 'waiting')),
  PRIMARY KEY (alias_id, domain, local_part)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_targets_address ON alias_targets (domain, local_part);
CREATE INDEX alias_targets_waiting ON alias_targets (alias_id) WHERE standing = 'waiting';

CREATE TABLE alias_reach (
  alias_id INTEGER NOT NULL REFERENCES aliases (id) ON DELETE CASCADE,
  domain TEXT NOT NULL,
  local_part TEXT NOT NULL,
  PRIMARY KEY (alias_id, domain, local_part)
) STRICT, WITHOUT ROWID;

CREATE INDEX alias_reach_address ON alias_reach (domain, local_part);

CREATE TABLE domain_aliases (
  name TEXT PRIMARY KEY,
  domain_id INTEGER NOT NULL REFERENCES domains (id),
  revision INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX domain_aliases_domain ON domain_aliases (domain_id);
CREATE INDEX domain_aliases_revision ON domain_aliases (revision);

CREATE TABLE approved_domains (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

ALTER TABLE domains ADD COLUMN alias_count INTEGER NOT NULL DEFAULT 0 CHECK (alias_count >= 0);
ALTER TABLE domains ADD COLUMN domain_alias_count INTEGER NOT NULL DEFAULT 0 CHECK (domain_alias_count >= 0);
ALTER TABLE state ADD COLUMN alias_count INTEGER NOT NULL DEFAULT 0 CHECK (alias_count >= 0);
ALTER TABLE state ADD COLUMN domain_alias_count INTEGER NOT NULL DEFAULT 0 CHECK (domain_alias_count >= 0);
ALTER TABLE state ADD COLUMN shared_digest TEXT NOT NULL DEFAULT '${"0".repeat(64)}';
ALTER TABLE state ADD COLUMN shared_mx_digest TEXT NOT NULL DEFAULT '${"0".repeat(64)}';
ALTER TABLE state ADD COLUMN shared_count INTEGER NOT NULL DEFAULT 0 CHECK (shared_count >= 0);

CREATE TABLE removals_of_any_kind (
  kind TEXT NOT NULL CHECK (kind IN ('domain', 'domain_alias', 'user', 'alias')),
  name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  removed_at TEXT NOT NULL,
  PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

INSERT INTO removals_of_any_kind SELECT * FROM removals;
DROP TABLE removals;
ALTER TABLE removals_of_any_kind RENAME TO removals;
CREATE INDEX removals_revision ON removals (revision);
`;
