/**
 * What a node said last is of the part that it had then: set and set back meanwhile, it still holds. Until now its
 * digest was dropped whenever the part was set.
 */
export const reportedParts = `
ALTER TABLE nodes ADD COLUMN applied_part TEXT;
UPDATE nodes SET applied_part = concat(role, domains) WHERE applied_digest IS NOT NULL;
`;
