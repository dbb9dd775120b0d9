/** Index of inactive mailboxes by time, for the retention setting. */
export const inactiveUsers = `
CREATE INDEX users_inactive ON users (updated_at) WHERE active = 0;
`;
