/** As SQLite's 0030-mailbox-sizes.ts. */
export const mailboxSizes = `
ALTER TABLE mailbox_usage ADD COLUMN domain_id bigint;
ALTER TABLE mailbox_usage ADD COLUMN node_id bigint;
ALTER TABLE mailbox_usage ADD COLUMN used_kib bigint;
ALTER TABLE mailbox_usage ADD COLUMN messages bigint;
ALTER TABLE mailbox_usage ADD COLUMN last_login ordered_text;
ALTER TABLE mailbox_usage ADD COLUMN unused_since ordered_text;
ALTER TABLE mailbox_usage ADD COLUMN reported_on ordered_text;

CREATE INDEX mailbox_usage_size ON mailbox_usage (domain_id, used_kib, user_id) WHERE used_kib IS NOT NULL;
CREATE INDEX mailbox_usage_unused ON mailbox_usage (domain_id, unused_since, user_id) WHERE unused_since IS NOT NULL;
`;
