/**
 * A domain that nobody sees: its name is none, and its rows are erased bit by bit once `erase_after` is past, at once
 * where that is empty. Null: a domain in use.
 */
export const hiddenDomains = `
ALTER TABLE domains ADD COLUMN erase_after TEXT;
CREATE INDEX domains_hidden ON domains (erase_after) WHERE erase_after IS NOT NULL;
`;
