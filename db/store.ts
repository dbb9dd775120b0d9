import type { Counts } from "../src/sync/answer.ts";
import type { View } from "../src/sync/view.ts";
import type { GrantTable } from "./access/grants.ts";
import type { OAuthTable } from "./access/oauth.ts";
import type { OperatorTable } from "./access/operator.ts";
import type { PasswordLinkTable } from "./access/password-links.ts";
import type { Token, TokenTable } from "./access/tokens.ts";
import type { AliasTable } from "./aliases/aliases.ts";
import type { DomainAliasTable } from "./aliases/domain-aliases.ts";
import type { ManyAliases } from "./aliases/many-aliases.ts";
import type { AuditTable } from "./audit.ts";
import type { DomainTable } from "./domains/domains.ts";
import type { HiddenDomains } from "./domains/hidden-domains.ts";
import type { DkimKeyTable } from "./nodes/dkim-keys.ts";
import type { EndedKeyTable } from "./nodes/ended-keys.ts";
import type { NodeTable } from "./nodes/nodes.ts";
import type { StateTable } from "./state.ts";
import type { UsageTable } from "./users/usage.ts";
import type { UserTable } from "./users/users.ts";

/** The tables of one transaction. */
export interface Tables {
  state: StateTable;
  domains: DomainTable;
  hidden: HiddenDomains;
  users: UserTable;
  passwordLinks: PasswordLinkTable;
  usage: UsageTable;
  aliases: AliasTable;
  manyAliases: ManyAliases;
  domainAliases: DomainAliasTable;
  nodes: NodeTable;
  endedKeys: EndedKeyTable;
  dkimKeys: DkimKeyTable;
  tokens: TokenTable;
  oauth: OAuthTable;
  grants: GrantTable;
  operator: OperatorTable;
  audit: AuditTable;
}

/** The state that a node with this view must reach. */
export interface StateSummary {
  history: string;
  revision: number;
  /** Digest of the view's records. `wholeDigest` covers all records, for cursors. */
  digest: string;
  wholeDigest: string;
  counts: Counts;
}

/** A node's data for a poll. */
export interface PollingNode {
  id: number;
  name: string;
  ipAddress: string | null;
  keyHash: string;
  /** True at the first use of a rotated key. */
  keyIsNext: boolean;
  /** End of this key; null for never. */
  keyExpiresAt: string | null;
  view: View;
  /** The operator's acceptance of removals: acceptance.ts. */
  accepted: string | null;
}

/** An ended sync key and its node's id, null once the node is removed. */
export interface EndedKey {
  id: string;
  hash: string;
  node: { id: number | null; name: string };
  endedAt: string;
}

/** Lines with line feeds, a few hundred a page. Close it soon: old rows stay on the disk meanwhile. */
export interface StateReader {
  summary: StateSummary;
  pages(): AsyncIterable<string>;
  close(): Promise<void>;
}

/** Callers since the last recording of contacts, by id, and the time of the latest call. */
export interface Contacts {
  /** Each with the address of the call. */
  nodes: ReadonlyMap<number, string>;
  tokens: ReadonlySet<number>;
  /** Nodes that were refused for their address, with that address. */
  refused?: ReadonlyMap<number, string>;
  at: string;
}

/**
 * The data that answers polls, as it was at one look: look() compares the database's version with what is in memory. A
 * method that must still read the database may see later commits than the look did.
 */
export interface PollView {
  /** Changes with the state and with any node's settings. */
  version: string;
  /** Changes with every commit of any process. */
  commit: number;
  /** The key that encrypts this database's cursors. */
  cursorKey: string;
  state(view: View): Promise<StateSummary>;
  node(keyId: string): Promise<PollingNode | undefined>;
  /** The ended key with this id. */
  endedKey(keyId: string): Promise<EndedKey | undefined>;
  /** The digest of the whole state at a revision, while it is remembered. */
  digestAt(revision: number): Promise<string | undefined>;
  /** Changes after `revision` as record lines with line feeds; undefined if there are more than `limit`. */
  changes(
    view: View,
    revision: number,
    limit: number,
  ): Promise<{ summary: StateSummary; lines: string[] } | undefined>;
}

/**
 * The hot path of the sync. It answers from memory while no process has committed anything since the last look.
 */
export interface PollReader {
  /** One look for all callers within one turn of the event loop: each sees what was committed before it was sent. */
  look(): Promise<PollView>;
  /** The version that the last look of this process saw; "" before the first. */
  latest(): string;
}

export interface OpenOptions {
  /** Makes the database's tables, and SQLite's file, if there are none yet. */
  create: boolean;
  /** The file with PostgreSQL's password; undefined for PGPASSWORD and the other ways of its own programs. */
  passwordFile?: string | undefined;
}

/** Connections that are in use, that are not, and callers that wait for one. */
export type ConnectionCounts = Record<"busy" | "idle" | "waiting", number>;

/** Figures of a database. Only PostgreSQL has the optional ones, of connections, signals and fail-over. */
export interface DatabaseFigures {
  /** Sizes in bytes of the database and, beside it, of SQLite's write-ahead log. */
  bytes: { database: number; wal?: number };
  /** Rises with each fail-over. */
  timeline?: number;
  /** False if a fail-over may lose changes that were acknowledged. */
  isSynchronous?: boolean;
  connections?: Record<string, ConnectionCounts>;
  /** Changes that waiting polls were told of: by a notification at once, or by a look, up to a second late. */
  signals?: Record<"notification" | "look", number>;
}

/** The database. Every method throws MailError unavailable when the disk or the file fails. */
export interface Store {
  /** Runs `fn` in one read transaction. With `within`, its tables know only those domains and their mailboxes. */
  read<T>(fn: (tables: Tables) => Promise<T>, within?: ReadonlySet<string>): Promise<T>;
  /**
   * Runs `fn` in one write transaction with the same limit. When this resolves, all of it is durable; when it rejects,
   * none.
   */
  write<T>(fn: (tables: Tables) => Promise<T>, within?: ReadonlySet<string>): Promise<T>;
  /**
   * Repeats `batch`, each time in its own write transaction, until it returns false because nothing is left, the store
   * closes, or `stop` fires. Requests and other processes get their turn between two batches.
   */
  writeInBatches(batch: (tables: Tables) => Promise<boolean>, stop?: AbortSignal): Promise<void>;
  /**
   * Erases all hidden domains (domains/hidden-domains.ts). An open store also does it by itself, within seconds.
   */
  eraseHidden(): Promise<void>;
  /** Records contacts soon, without waiting for the disk: a power cut may lose the last ones. */
  recordContacts(contacts: Contacts): Promise<void>;
  polls: PollReader;
  /**
   * Calls `listener` soon after any process has changed the version (PollView), and when the database cannot be read. It
   * may also call when nothing has changed.
   *
   * @returns ends the calls
   */
  onChange(listener: () => void): () => void;
  /** The version of the database's tables. */
  schema: number;
  engine: "sqlite" | "postgresql";
  figures(): Promise<DatabaseFigures>;
  /** The access token with this id, as committed now. */
  token(tokenId: string): Promise<Token | undefined>;
  /** Reads one state of all records for this view; with `since`, only the changes after it. */
  readState(view: View, since?: number): Promise<StateReader>;
  close(): Promise<void>;
}
