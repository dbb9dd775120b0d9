/**
 * What nodes report of mailboxes, outside of the state that they serve. limited_on: the last day on which a mailbox reached a
 * limit of what it may send. nodes.limited_users: how many did on the last day, by the node's last report.
 */
export const mailboxUsage = `
CREATE TABLE mailbox_usage (
  user_id INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  limited_on TEXT
) STRICT;

CREATE INDEX mailbox_usage_limited ON mailbox_usage (limited_on) WHERE limited_on IS NOT NULL;

ALTER TABLE nodes ADD COLUMN limited_users INTEGER;
`;
