/**
 * The public halves of the nodes' DKIM keys. `node_id` is null once the node is removed. `ended_at`: the node signs with it no
 * more. `version` is the node's dkim_version at the last change that the node must hear of. `look_at`: when DNS is asked next.
 */
export const dkimKeys = `
ALTER TABLE nodes ADD COLUMN dkim_version INTEGER NOT NULL DEFAULT 0;

CREATE TABLE dkim_keys (
  id INTEGER PRIMARY KEY,
  node_id INTEGER REFERENCES nodes (id) ON DELETE SET NULL,
  domain TEXT NOT NULL,
  selector TEXT NOT NULL,
  public_key TEXT NOT NULL,
  reported_at TEXT NOT NULL,
  seen_at TEXT,
  ended_at TEXT,
  is_replaced INTEGER NOT NULL DEFAULT 0,
  version INTEGER NOT NULL,
  look_at TEXT
) STRICT;

CREATE UNIQUE INDEX dkim_keys_node ON dkim_keys (node_id, domain, selector);
CREATE INDEX dkim_keys_domain ON dkim_keys (domain);
CREATE INDEX dkim_keys_version ON dkim_keys (node_id, version);
CREATE INDEX dkim_keys_look ON dkim_keys (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX dkim_keys_ended ON dkim_keys (ended_at) WHERE ended_at IS NOT NULL;
`;
