/** Inactive mailboxes by the time since which they are: what a retention setting looks for, among a million others. */
export const inactiveUsers = `
CREATE INDEX users_inactive ON users (updated_at) WHERE active = 0;
`;
