/**
 * Stores the role and domains that a node had at its last report. A report becomes valid again when they are set back.
 * Before this migration, setting them dropped its digest.
 */
export const reportedParts = `
ALTER TABLE nodes ADD COLUMN applied_part TEXT;
UPDATE nodes SET applied_part = concat(role, domains) WHERE applied_digest IS NOT NULL;
`;
