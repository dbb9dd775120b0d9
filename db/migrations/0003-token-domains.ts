/** The domains that a token is for, a JSON array of names, sorted; null is all. */
export const tokenDomains = `
ALTER TABLE tokens ADD COLUMN domains TEXT;
`;
