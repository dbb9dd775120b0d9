/** What mailboxes may send, as JSON: src/mail/sending-limit.ts. NULL for the next wider limit. */
export const sendingLimits = `
ALTER TABLE domains ADD COLUMN sending_limit TEXT;
ALTER TABLE users ADD COLUMN sending_limit TEXT;
`;
