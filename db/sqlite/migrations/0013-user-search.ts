/** Index of all domains' mailboxes by the start of their addresses. */
export const userSearch = `
CREATE INDEX users_local_part ON users (local_part, domain_id);
`;
