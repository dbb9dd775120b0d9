/** The host name that a node reported. */
export const nodeHosts = `
ALTER TABLE nodes ADD COLUMN host TEXT;
`;
