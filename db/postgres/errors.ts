import { MailError } from "../../src/mail/error.ts";

const POOLER = [
  "A pooler such as PgBouncer stands in front of PostgreSQL.",
  "Nothing was changed. Name PostgreSQL itself in the database's address: M25 Mail needs connections that keep their settings, and has pools of its own.",
] as const;

type Retry = NonNullable<ConstructorParameters<typeof MailError>[3]>;

/**
 * Seconds until a caller tries again: another primary may be there in a moment. Nodes add up to half of it, and so are back within
 * ten seconds.
 */
export const RETRY_SOON = { temporary: true, retryAfter: 5 } as const satisfies Retry;

/** Expected failures of PostgreSQL, by its SQLSTATE (appendix A of its manual), the system's errno, or Node's TLS code. */
const failures: ReadonlyArray<[pattern: RegExp, message: string, hint: string, retry: Retry]> = [
  [
    /^53100$/,
    "The disk with the database is full.",
    "Nothing was changed. Free some space there, then try again.",
    { temporary: true },
  ],
  [
    /^55P03$|^40P01$|^40001$/,
    "The database is locked by another server's change.",
    "Nothing was changed. Try again in a few seconds.",
    RETRY_SOON,
  ],
  [
    // PgBouncer's, for settings that it does not know.
    /^08P01$/,
    ...POOLER,
    {},
  ],
  [
    /^28P01$|^28000$/,
    "PostgreSQL refuses the user or the password.",
    "Nothing was changed. Check the user in the database's address and pg_hba.conf, and give the password in PGPASSWORD or in the file that M25_MAIL_DB_PASSWORD_FILE names.",
    {},
  ],
  [
    /^3D000$/,
    "PostgreSQL has no database of that name.",
    "Nothing was changed. Make it with createdb, or name another.",
    {},
  ],
  [
    /^42501$/,
    "PostgreSQL does not give this user the rights that M25 Mail needs.",
    "Nothing was changed. Make the user the database's owner: ALTER DATABASE name OWNER TO user.",
    {},
  ],
  [
    /^25006$/,
    "The database is read-only: it may be a standby.",
    "Nothing was changed. Connect to the primary.",
    RETRY_SOON,
  ],
  [
    /^(53300|57P0[1-5]|57014|08...|25P03)$|^E(CONNREFUSED|CONNRESET|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|AI_AGAIN)$|^ENOTFOUND$|^ENOENT$|^EACCES$/,
    "The database cannot be reached.",
    "Nothing was changed. Try again in a few seconds; if it stays, check that PostgreSQL runs and accepts connections from here.",
    RETRY_SOON,
  ],
  [
    /^(CERT_|ERR_TLS_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/,
    "PostgreSQL's certificate cannot be verified.",
    "Nothing was changed. Name the authority's certificate in the database's address: ?sslrootcert=FILE.",
    {},
  ],
];

/** pg's messages without a code, when a connection ends or cannot be made. */
const NO_CONNECTION =
  /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|timeout expired|Client (was closed|has encountered)|Cannot use a pool after)/;
const NO_TLS = /^The server does not support SSL connections/;

/** The MailError for a failure of the database; undefined for any other error, which is a bug. */
export function failure(error: unknown): MailError | undefined {
  if (error instanceof MailError) return error;
  const code = codeOf(error);
  const [, message, hint, retry] = failures.find(([pattern]) => pattern.test(code)) ?? [];
  if (message === undefined || hint === undefined) return undefined;
  return new MailError("unavailable", message, hint, retry);
}

/** The refusal of connections that lose their settings. */
export function pooler(): MailError {
  return new MailError("unavailable", ...POOLER);
}

/** Runs `fn`, and converts failures of the database to a MailError. */
export async function translated<T>(fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (error) {
    throw failure(error) ?? error;
  }
}

/** True if the connection is gone, or must not be used again. */
export function isBroken(error: unknown): boolean {
  return /^(57P|08|25P03|E)/.test(codeOf(error));
}

/** The refusal when the connection broke while a transaction was committed. */
export function unknownOutcome(): MailError {
  return new MailError(
    "unavailable",
    "The connection to the database broke while the change was committed.",
    "The change may have been done. Look before you try it again.",
    RETRY_SOON,
  );
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  if ("code" in error && typeof error.code === "string") return error.code;
  // Several addresses of one host, none of which answers.
  if (error instanceof AggregateError) return codeOf(error.errors[0]);
  if (NO_TLS.test(error.message)) return "ERR_TLS_REFUSED";
  return NO_CONNECTION.test(error.message) ? "ECONNRESET" : "";
}
