/**
 * Sizes and last logins, as nodes report them: db/users/usage.ts. domain_id is the user's, so that the largest and the unused
 * mailboxes of a domain are read in an index. node_id refers to nothing: its removal must not read the whole table.
 */
export const mailboxSizes = `
ALTER TABLE mailbox_usage ADD COLUMN domain_id INTEGER;
ALTER TABLE mailbox_usage ADD COLUMN node_id INTEGER;
ALTER TABLE mailbox_usage ADD COLUMN used_kib INTEGER;
ALTER TABLE mailbox_usage ADD COLUMN messages INTEGER;
ALTER TABLE mailbox_usage ADD COLUMN last_login TEXT;
ALTER TABLE mailbox_usage ADD COLUMN unused_since TEXT;
ALTER TABLE mailbox_usage ADD COLUMN reported_on TEXT;

CREATE INDEX mailbox_usage_size ON mailbox_usage (domain_id, used_kib, user_id) WHERE used_kib IS NOT NULL;
CREATE INDEX mailbox_usage_unused ON mailbox_usage (domain_id, unused_since, user_id) WHERE unused_since IS NOT NULL;
`;
