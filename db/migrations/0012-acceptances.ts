/** To accept removals again, at the same revision, is another word. */
export const acceptances = `
ALTER TABLE nodes ADD COLUMN acceptances INTEGER NOT NULL DEFAULT 0;
`;
