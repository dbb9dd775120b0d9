/**
 * When nodes called leaves their rows: it is written every second, what they are and may have hardly ever. For that
 * there is a counter, so that whoever keeps nodes in memory need not read them again each second. By triggers, for
 * a key that was ended and is still remembered would stay good.
 */
export const contacts = `
CREATE TABLE contacts (
  node_id INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
  at TEXT NOT NULL
) STRICT;

INSERT INTO contacts SELECT id, last_sync_at FROM nodes WHERE last_sync_at IS NOT NULL;

ALTER TABLE nodes DROP COLUMN last_sync_at;

ALTER TABLE state ADD COLUMN node_version INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER nodes_added AFTER INSERT ON nodes BEGIN
  UPDATE state SET node_version = node_version + 1;
END;

CREATE TRIGGER nodes_removed AFTER DELETE ON nodes BEGIN
  UPDATE state SET node_version = node_version + 1;
END;

CREATE TRIGGER nodes_changed AFTER UPDATE OF
  name, ip_address, role, domains, key_id, key_hash, next_key_id, next_key_hash, key_expires_at, accepted_revision
ON nodes BEGIN
  UPDATE state SET node_version = node_version + 1;
END;
`;
