/** Whether an operator made the key that is to follow: then the key before it, which may be stolen, gets no other. */
export const operatorsKeys = `
ALTER TABLE nodes ADD COLUMN next_key_by_operator INTEGER NOT NULL DEFAULT 0;
`;
