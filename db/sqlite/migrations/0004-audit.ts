/**
 * The audit log only grows, except for entries past the retention. REPLACE deletes a row without its delete trigger on
 * connections with recursive_triggers off, so the insertion itself is refused.
 */
export const audit = `
ALTER TABLE audit_log ADD COLUMN client TEXT;
ALTER TABLE audit_log ADD COLUMN outcome TEXT NOT NULL DEFAULT 'done';

CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_refusals ON audit_log (principal, at) WHERE outcome <> 'done';

CREATE TABLE audit_retention (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  days INTEGER CHECK (days > 0)
) STRICT;

INSERT INTO audit_retention VALUES (1, NULL);

CREATE TRIGGER audit_log_no_update BEFORE UPDATE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_log_no_replace BEFORE INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_log_ids_rise AFTER INSERT ON audit_log
WHEN EXISTS (SELECT 1 FROM audit_log WHERE id > NEW.id)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log
WHEN OLD.at >= coalesce(
  (SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-' || days || ' days') FROM audit_retention), ''
)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
`;
