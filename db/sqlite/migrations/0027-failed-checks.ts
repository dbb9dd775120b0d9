/** Names of a node's own checks that are not ok, with commas between them; null if the node has not told. */
export const failedChecks = `
ALTER TABLE nodes ADD COLUMN failed_checks TEXT;
`;
