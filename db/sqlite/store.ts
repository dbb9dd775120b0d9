import { existsSync } from "node:fs";
import type { Kysely, Selectable } from "kysely";
import { MailError } from "../../src/mail/error.ts";
import { AliasTable } from "../aliases/aliases.ts";
import { DomainAliasTable } from "../aliases/domain-aliases.ts";
import { AliasGraph } from "../aliases/graph.ts";
import { AuditTable } from "../audit.ts";
import { DomainTable } from "../domains.ts";
import { EndedKeyTable } from "../ended-keys.ts";
import { GrantTable } from "../grants.ts";
import { HiddenDomains } from "../hidden-domains.ts";
import { NodeTable } from "../nodes.ts";
import { OAuthTable } from "../oauth.ts";
import { OperatorTable } from "../operator.ts";
import { PasswordLinkTable } from "../password-links.ts";
import type { Schema } from "../schema.ts";
import { StateTable } from "../state.ts";
import type { Store, Tables } from "../store.ts";
import { TokenTable, toToken } from "../tokens.ts";
import { UserTable } from "../users/users.ts";
import { ChangeWatch } from "./change-watch.ts";
import { type Connection, createFile, migrate, noDatabase, openConnection } from "./connection.ts";
import { ContactWriter } from "./contacts.ts";
import { translated } from "./errors.ts";
import { truncateLogRegularly } from "./log-truncation.ts";
import { migrations } from "./migrations/index.ts";
import { FilePollReader } from "./poll-reader.ts";
import { readState } from "./state-reader.ts";
import { Transactions } from "./transactions.ts";

/** ms between two looks for hidden domains to erase. */
const ERASE_EVERY = 5_000;

/**
 * Opens the embedded store. Several processes may have the same file open.
 *
 * @throws MailError unavailable: file missing, damaged, another program's, of a newer version, or not writable
 */
export function openStore(path: string, { create }: { create: boolean }): Store {
  const [writer, reader, poller] = translated(() => openConnections(path, create), path);
  const writing = new Transactions(writer, "IMMEDIATE");
  const reading = new Transactions(reader, "DEFERRED");
  const contacts = new ContactWriter(path);
  const polls = new FilePollReader(poller);
  const watch = new ChangeWatch(polls, path);
  // Holds both connections: no transaction of this process is open then. The writer comes first: its transaction may take seconds.
  const stopTruncating = truncateLogRegularly(path, () =>
    writing.between(() => reading.between(async () => truncateLog(writer))),
  );
  let closed: Promise<void> | undefined;
  const run = <T>(
    transactions: Transactions,
    fn: (tables: Tables) => Promise<T>,
    within?: ReadonlySet<string>,
  ) =>
    closed === undefined ? transactions.run((db) => fn(tablesOf(db, within))) : Promise.reject(stopping());
  const writeInBatches: Store["writeInBatches"] = (batch, stop) =>
    writing.runInBatches(
      (db) => batch(tablesOf(db, undefined)),
      () => closed === undefined && stop?.aborted !== true,
    );
  let erasing: Promise<void> | undefined;
  const eraseHidden = () => {
    erasing ??= run(reading, ({ hidden }) => hidden.due())
      .then((due) => (due === undefined ? undefined : writeInBatches(({ hidden }) => hidden.erase())))
      .finally(() => {
        erasing = undefined;
      });
    return erasing;
  };
  // By the clock: another process, a command that has ended since, may have removed the domain.
  const eraseRegularly = setInterval(() => {
    eraseHidden().catch(() => {}); // every write reports a full disk
  }, ERASE_EVERY).unref();
  const closeAll = async () => {
    stopTruncating();
    clearInterval(eraseRegularly);
    await reading.close();
    await writing.between(async () => {}); // waits for the transactions that have begun
    poller.close();
    contacts.close();
    await writing.close(); // the last connection, if it can write, folds the write-ahead log into the file
  };
  return {
    read: (fn, within) => run(reading, fn, within),
    write: (fn, within) => run(writing, fn, within),
    writeInBatches,
    eraseHidden,
    recordContacts: (seen) => contacts.record(seen),
    polls,
    onChange: (listener) => watch.on(listener),
    schema: migrations.length,
    token: tokenReader(poller),
    readState: async (view, since) => translated(() => readState(path, view, since)),
    close() {
      closed ??= closeAll();
      return closed;
    },
  };
}

/** Reads an access token by the id in its text. It uses a prepared statement, because each request over HTTP asks. */
function tokenReader(connection: Connection): Store["token"] {
  const byId = connection.prepare<[string], Selectable<Schema["tokens"]>>(
    "SELECT * FROM tokens WHERE token_id = ?",
  );
  return async (tokenId) =>
    translated(() => {
      const row = byId.get(tokenId);
      return row && toToken(row);
    });
}

/** @returns false when another process or an open snapshot holds the log */
function truncateLog(connection: Connection): boolean {
  const [result] = connection.pragma("wal_checkpoint(TRUNCATE)") as Array<{ busy: number }>;
  return result?.busy === 0;
}

/** The refusal for calls that arrive, or end their hashing, after the program was told to stop. */
function stopping(): MailError {
  return new MailError(
    "unavailable",
    "The server is stopping.",
    "Nothing was changed. Try again in a minute.",
    { temporary: true },
  );
}

function openConnections(path: string, create: boolean): [Connection, Connection, Connection] {
  if (create) createFile(path);
  else if (!existsSync(path)) throw noDatabase(path);
  const writer = openConnection(path, { readonly: false });
  try {
    migrate(writer, path);
    writer.pragma("busy_timeout = 0"); // retryWhileBusy() waits instead and blocks nobody
  } catch (error) {
    writer.close();
    throw error;
  }
  return [writer, openConnection(path, { readonly: true }), openConnection(path, { readonly: true })];
}

function tablesOf(db: Kysely<Schema>, within: ReadonlySet<string> | undefined): Tables {
  const state = new StateTable(db);
  const graph = new AliasGraph(db, state, within);
  const domains = new DomainTable(db, state, graph, within);
  const endedKeys = new EndedKeyTable(db);
  const oauth = new OAuthTable(db);
  return {
    state,
    domains,
    hidden: new HiddenDomains(db),
    users: new UserTable(db, state, domains, graph),
    passwordLinks: new PasswordLinkTable(db),
    aliases: new AliasTable(db, state, domains, graph),
    domainAliases: new DomainAliasTable(db, state, domains, graph),
    nodes: new NodeTable(db, endedKeys),
    endedKeys,
    tokens: new TokenTable(db),
    oauth,
    grants: new GrantTable(db, oauth),
    operator: new OperatorTable(db),
    audit: new AuditTable(db, state),
  };
}
