import { readFileSync } from "node:fs";
import pg from "pg";
import { MailError } from "../../src/mail/error.ts";
import { LOOPBACK_HOSTS } from "../../src/mail/network.ts";
import { databaseOf } from "../location.ts";
import { failure } from "./errors.ts";
import { Hosts, hostsOf } from "./hosts.ts";
import { Pool } from "./pool.ts";
import { Primary } from "./primary.ts";

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
  readonly #hosts: Hosts;
  readonly primary = new Primary();

  /** @throws MailError unavailable when sslrootcert cannot be read */
  constructor(address: string, passwordFile: string | undefined) {
    const url = new URL(address);
    const hosts = hostsOf(url);
    const user = url.searchParams.get("user") ?? decodeURIComponent(url.username);
    this.#hosts = new Hosts(hosts);
    this.#config = {
      ...(user !== "" && { user }),
      database: databaseOf(url),
      ...(passwordFile !== undefined && { password: () => passwordIn(passwordFile) }),
      ssl: encryption(
        hosts.every(({ host }) => isHere(host)),
        url.searchParams.get("sslrootcert"),
      ),
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
  pool(max: number, { session = {} }: { session?: Record<string, string> } = {}): Pool {
    const options = sessionOptions({ ...SESSION, ...session });
    const config = { ...this.#config, options, max, pipeline: true };
    return new Pool(this.#hosts, config, (client) => this.primary.admit(client));
  }

  /**
   * A connection of its own, to the primary.
   *
   * @throws MailError unavailable
   */
  open(settings: pg.ClientConfig = {}): Promise<pg.Client> {
    return this.connect((client) => this.primary.admit(client), settings);
  }

  /**
   * A connection of its own, once it has passed `check`.
   *
   * @throws MailError unavailable; what `check` throws
   */
  async connect(
    check: (client: pg.Client) => Promise<void>,
    settings: pg.ClientConfig = {},
  ): Promise<pg.Client> {
    const attempt = async () => {
      const client = new pg.Client({ ...this.#config, ...this.#hosts.now, ...settings });
      client.on("error", () => {}); // the query under way reports it
      try {
        await client.connect();
        await check(client);
        return client;
      } catch (error) {
        await client.end().catch(() => {}); // the error says more
        throw failure(error) ?? error;
      }
    };
    return this.#hosts.try(attempt);
  }
}

function sessionOptions(settings: Record<string, string | number>): string {
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(" ");
}

function isHere(host: string): boolean {
  return host.startsWith("/") || LOOPBACK_HOSTS.has(host);
}

/** TLS with a verified certificate, except on this machine. */
function encryption(isHere: boolean, rootCertificate: string | null): pg.ClientConfig["ssl"] {
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
