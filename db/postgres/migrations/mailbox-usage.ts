/** As SQLite's 0029-mailbox-usage.ts. */
export const mailboxUsage = `
CREATE TABLE mailbox_usage (
  user_id bigint PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
  limited_on ordered_text
);

CREATE INDEX mailbox_usage_limited ON mailbox_usage (limited_on) WHERE limited_on IS NOT NULL;

ALTER TABLE nodes ADD COLUMN limited_users bigint;
`;
