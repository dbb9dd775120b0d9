/** For PostgreSQL only: in SQLite each connection defines the function (../connection.ts). */
export const addDigests = "";
