/** The timeline of PostgreSQL to which the state's history belongs. A row is missing until the first server has connected. */
export const timeline = "CREATE TABLE timeline (timeline text NOT NULL);";
