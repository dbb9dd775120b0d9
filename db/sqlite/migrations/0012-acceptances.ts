/** Counts acceptances, so that a second one at the same revision differs from the first. */
export const acceptances = `
ALTER TABLE nodes ADD COLUMN acceptances INTEGER NOT NULL DEFAULT 0;
`;
