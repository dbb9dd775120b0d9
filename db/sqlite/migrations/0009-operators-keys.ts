/** True if an operator made the next key. The current key, which may be stolen, then cannot get another one. */
export const operatorsKeys = `
ALTER TABLE nodes ADD COLUMN next_key_by_operator INTEGER NOT NULL DEFAULT 0;
`;
