/** A token's domains as a sorted JSON array of names; null is all. */
export const tokenDomains = `
ALTER TABLE tokens ADD COLUMN domains TEXT;
`;
