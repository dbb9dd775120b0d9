/** Revoking a token deletes its row, so this remembers that there was a first token. */
export const firstToken = `
CREATE TABLE first_token (at TEXT NOT NULL) STRICT;

INSERT INTO first_token
SELECT at FROM (
  SELECT created_at AS at FROM tokens
  UNION ALL
  SELECT at FROM audit_log WHERE tool = 'create-token' AND outcome = 'done'
)
ORDER BY at LIMIT 1;

CREATE TRIGGER first_token_made AFTER INSERT ON tokens WHEN NOT EXISTS (SELECT 1 FROM first_token)
BEGIN
  INSERT INTO first_token VALUES (NEW.created_at);
END;
`;
