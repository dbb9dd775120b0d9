/** PostgreSQL's own: each connection to this file brings the function along (../connection.ts). */
export const addDigests = "";
