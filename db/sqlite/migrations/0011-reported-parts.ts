/**
 * Stores the role and domains that a node had at its last report. A report stays valid when these are set and set back.
 * Before, setting them dropped its digest.
 */
export const reportedParts = `
ALTER TABLE nodes ADD COLUMN applied_part TEXT;
UPDATE nodes SET applied_part = concat(role, domains) WHERE applied_digest IS NOT NULL;
`;
