/**
 * Marks hidden domains. Their rows are erased in batches once `erase_after` is past; at once if it is empty. Null for a
 * domain in use.
 */
export const hiddenDomains = `
ALTER TABLE domains ADD COLUMN erase_after TEXT;
CREATE INDEX domains_hidden ON domains (erase_after) WHERE erase_after IS NOT NULL;
`;
