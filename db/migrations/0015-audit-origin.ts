/** Where a call came from: null at the shell and over stdio, and for entries older than these columns. */
export const auditOrigin = `
ALTER TABLE audit_log ADD COLUMN address TEXT;
ALTER TABLE audit_log ADD COLUMN request TEXT;
`;
