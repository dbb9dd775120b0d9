/** PostgreSQL's own: this file's versions are those of both engines. */
export const timeline = "";
