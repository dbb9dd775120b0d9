import { readFileSync } from "node:fs";
import pg from "pg";
import { MailError } from "../../src/mail/error.ts";
import { LOOPBACK_HOSTS } from "../../src/mail/network.ts";
import { databaseOf } from "../location.ts";
import { failure } from "./errors.ts";

/** ms for a new connection. */
const CONNECT_WITHIN = 5_000;
/** ms after which an answer is not waited for any more: the connection may be cut without a word. */
const ANSWER_WITHIN = 30_000;

/** The schema that has all tables, so that they share a database with nothing by accident. */
export const SCHEMA = "m25_mail";

/** Set at PostgreSQL for each session. The server ends what this process cannot end any more, as it holds the state's lock. */
const SESSION = {
  search_path: SCHEMA,
  lock_timeout: 5_000,
  idle_in_transaction_session_timeout: 30_000,
  tcp_user_timeout: 10_000,
  jit: "off",
};

const INT8 = 20;
const NUMERIC = 1700;

/** How to connect to one database. */
export class Connections {
  readonly #config: pg.ClientConfig;

  /** @throws MailError unavailable when sslrootcert cannot be read */
  constructor(address: string, passwordFile: string | undefined) {
    const url = new URL(address);
    const host = url.searchParams.get("host") ?? decodeURIComponent(url.hostname);
    const user = url.searchParams.get("user") ?? decodeURIComponent(url.username);
    const port = url.searchParams.get("port") ?? url.port;
    this.#config = {
      host: host === "" ? "localhost" : host,
      ...(port !== "" && { port: Number(port) }),
      ...(user !== "" && { user }),
      database: databaseOf(url),
      ...(passwordFile !== undefined && { password: () => passwordIn(passwordFile) }),
      ssl: encryption(host, url.searchParams.get("sslrootcert")),
      application_name: "m25-mail",
      options: sessionOptions(SESSION),
      connectionTimeoutMillis: CONNECT_WITHIN,
      query_timeout: ANSWER_WITHIN,
      keepAlive: true,
      keepAliveInitialDelayMillis: CONNECT_WITHIN,
      // Numbers of rows and ids are below 2^53; pg gives these types as text.
      types: {
        getTypeParser: (oid: number, format?: "text" | "binary") =>
          oid === INT8 || oid === NUMERIC ? Number : pg.types.getTypeParser(oid, format as "text"),
      },
    };
  }

  /** @param session further settings of its sessions */
  pool(max: number, session: Record<string, string> = {}): pg.Pool {
    const options = sessionOptions({ ...SESSION, ...session });
    const config = { ...this.#config, options };
    class Client extends pg.Client {
      constructor() {
        super(config);
      }
    }
    // The limit on a new connection's time must not limit the wait for a turn, too.
    const pool = new pg.Pool({ ...config, max, Client, connectionTimeoutMillis: 0 });
    pool.on("error", () => {}); // an idle connection broke: the next query makes another
    return pool;
  }

  /**
   * A connection of its own.
   *
   * @throws MailError unavailable
   */
  async open(settings: pg.ClientConfig = {}): Promise<pg.Client> {
    const client = new pg.Client({ ...this.#config, ...settings });
    client.on("error", () => {}); // the query under way reports it
    try {
      await client.connect();
      return client;
    } catch (error) {
      throw failure(error) ?? error;
    }
  }
}

function sessionOptions(settings: Record<string, string | number>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(" ");
}

/** TLS with a verified certificate, except on this machine. */
function encryption(host: string, rootCertificate: string | null): pg.ClientConfig["ssl"] {
  const isHere = host === "" || host.startsWith("/") || LOOPBACK_HOSTS.has(host);
  if (rootCertificate === null) return isHere ? false : { rejectUnauthorized: true };
  try {
    return { rejectUnauthorized: true, ca: readFileSync(rootCertificate, "utf8") };
  } catch {
    throw unreadable(rootCertificate);
  }
}

/** Read at each connection, so that a changed password needs no restart. */
function passwordIn(file: string): string {
  try {
    return readFileSync(file, "utf8").replace(/\r?\n$/, "");
  } catch {
    throw unreadable(file);
  }
}

function unreadable(file: string): MailError {
  return new MailError(
    "unavailable",
    `The file ${file} cannot be read.`,
    "Nothing was changed. Let the user that runs the server read it, or name another.",
  );
}
