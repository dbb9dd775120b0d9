/** The parameters that an address may have, as for PostgreSQL's own programs. A socket's folder is a host. */
const PARAMETERS = ["host", "port", "user", "sslrootcert"];

/** True for the address of a PostgreSQL database, false for a file of SQLite. */
export function isPostgresql(database: string): boolean {
  return /^postgres(ql)?:/i.test(database);
}

/**
 * Why a database's address cannot be used; undefined if it can. It has no password: a process's arguments are for everybody to
 * read, and an address appears in logs.
 */
export function addressProblem(address: string): string | undefined {
  const url = URL.parse(address);
  if (url === null) return "is not an address such as postgres://m25mail@db.example.net/m25mail";
  if (url.password !== "") {
    return "has a password. Leave it out, and give it in PGPASSWORD or in the file that M25_MAIL_DB_PASSWORD_FILE names";
  }
  if (databaseOf(url) === "") return "names no database, as in postgres://m25mail@db.example.net/m25mail";
  const [hosts, ports] = ["host", "port"].map((name) => (url.searchParams.get(name) ?? "").split(",").length);
  if (ports !== 1 && ports !== hosts) return "has neither one port for all hosts nor one for each";
  const unknown = [...url.searchParams.keys()].find((name) => !PARAMETERS.includes(name));
  return unknown && `has the parameter ${unknown}; it takes ${PARAMETERS.join(", ")}`;
}

export function databaseOf(url: URL): string {
  return decodeURIComponent(url.pathname.slice(1));
}
