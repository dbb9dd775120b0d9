/**
 * Ended sync keys, so that the server recognises one that is used later; and the addresses from which nodes call.
 * `node_id` is null once the node is removed; `node` keeps its name.
 */
export const endedKeys = `
CREATE TABLE ended_keys (
  key_id TEXT PRIMARY KEY,
  key_hash TEXT NOT NULL,
  node_id INTEGER REFERENCES nodes (id) ON DELETE SET NULL,
  node TEXT NOT NULL,
  ended_at TEXT NOT NULL,
  presented_at TEXT,
  presented_from TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX ended_keys_node ON ended_keys (node_id, ended_at);
CREATE INDEX ended_keys_ended ON ended_keys (ended_at);
CREATE INDEX ended_keys_presented ON ended_keys (node_id, presented_at) WHERE presented_at IS NOT NULL;

ALTER TABLE contacts ADD COLUMN address TEXT;
ALTER TABLE refused_contacts ADD COLUMN address TEXT;
`;
