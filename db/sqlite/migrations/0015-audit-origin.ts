/** Address and request id of a call: null at the shell, over stdio, and in older entries. */
export const auditOrigin = `
ALTER TABLE audit_log ADD COLUMN address TEXT;
ALTER TABLE audit_log ADD COLUMN request TEXT;
`;
