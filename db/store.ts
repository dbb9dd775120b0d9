import type { Counts } from "../src/sync/answer.ts";
import type { View } from "../src/sync/view.ts";
import type { AuditTable } from "./audit.ts";
import type { DomainTable } from "./domains.ts";
import type { EndedKeyTable } from "./ended-keys.ts";
import type { GrantTable } from "./grants.ts";
import type { HiddenDomains } from "./hidden-domains.ts";
import type { NodeTable } from "./nodes.ts";
import type { OAuthTable } from "./oauth.ts";
import type { OperatorTable } from "./operator.ts";
import type { StateTable } from "./state.ts";
import type { Token, TokenTable } from "./tokens.ts";
import type { UserTable } from "./users.ts";

/** The tables, as one transaction sees them. */
export interface Tables {
  state: StateTable;
  domains: DomainTable;
  hidden: HiddenDomains;
  users: UserTable;
  nodes: NodeTable;
  endedKeys: EndedKeyTable;
  tokens: TokenTable;
  oauth: OAuthTable;
  grants: GrantTable;
  operator: OperatorTable;
  audit: AuditTable;
}

/** What the database says of the state that a node with this view must reach. */
export interface StateSummary {
  history: string;
  revision: number;
  /** Of the view's records; `wholeDigest` is of all records, for cursors. */
  digest: string;
  wholeDigest: string;
  counts: Counts;
}

/** A node as a poll needs it. */
export interface PollingNode {
  id: number;
  name: string;
  ipAddress: string | null;
  keyHash: string;
  /** True for a key that was made by rotation and is used for the first time. */
  keyIsNext: boolean;
  /** When this key ends; null for never. */
  keyExpiresAt: string | null;
  view: View;
  /** An operator's word that removals may go: acceptance.ts. */
  accepted: string | null;
}

/** A sync key that has ended, and whose it was; the node's id is null once that is removed. */
export interface EndedKey {
  id: string;
  hash: string;
  node: { id: number | null; name: string };
  endedAt: string;
}

/** Lines with line feeds, some hundred at a time. Close it soon: it keeps the write-ahead log from being reused. */
export interface Reading {
  summary: StateSummary;
  pages(): Generator<string>;
  close(): void;
}

/** Who called since contacts were written last, by id, and when the latest did. */
export interface Contacts {
  /** With the address that each called from. */
  nodes: ReadonlyMap<number, string>;
  tokens: ReadonlySet<number>;
  /** Nodes that were refused for the address that they called from, with that address. */
  refused?: ReadonlyMap<number, string>;
  at: string;
}

/** What polls are answered from, as it was at one look at the database. */
export interface PollView {
  /** Another one whenever the state has changed, or what any node is and may have. */
  version(): string;
  /** Another number whenever anything at all was committed, by whatever process. */
  commit(): number;
  state(view: View): StateSummary;
  node(keyId: string): PollingNode | undefined;
  /** The key with this id, where it has ended. */
  endedKey(keyId: string): EndedKey | undefined;
  /** The key under which this database's cursors are signed. */
  cursorKey(): string;
  /** The digest that the whole state had at a revision, while that is remembered. */
  digestAt(revision: number): string | undefined;
  /** What was set and removed after `revision`, as record lines with line feeds; undefined when more than `limit`. */
  changes(
    view: View,
    revision: number,
    limit: number,
  ): { summary: StateSummary; lines: string[] } | undefined;
}

/**
 * The hot path of the sync, answered from memory while nothing was committed, by this process or any other,
 * since the last look.
 */
export interface PollReader {
  /** Looks at once. */
  now(): PollView;
  /** One look for all that ask within one turn of the event loop, made after the last of them asked. */
  look(): Promise<PollView>;
}

/** What the program remembers. Every method throws MailError unavailable when the disk or the file fails. */
export interface Store {
  /** Runs `fn` in one read transaction, whose tables know no domains and mailboxes but those `within`. */
  read<T>(fn: (tables: Tables) => Promise<T>, within?: ReadonlySet<string>): Promise<T>;
  /**
   * Runs `fn` in one write transaction, likewise: all of it is durable when this resolves, nothing of it when it
   * rejects.
   */
  write<T>(fn: (tables: Tables) => Promise<T>, within?: ReadonlySet<string>): Promise<T>;
  /**
   * Runs `batch` again and again, each time in a write transaction of its own, until it answers false, as nothing is left,
   * or the store closes, or `stop` says so. Between two batches, requests and other processes have their turn.
   */
  writeInBatches(batch: (tables: Tables) => Promise<boolean>, stop?: AbortSignal): Promise<void>;
  /**
   * Erases what removals of domains have left, to its end. Without a call that happens by itself, within seconds,
   * while the store is open.
   */
  eraseHidden(): Promise<void>;
  /** Written before long, and not waited for: a power cut may take the last of them. */
  recordContacts(contacts: Contacts): Promise<void>;
  polls: PollReader;
  /** The access token with this id, as it is committed at this moment. */
  token(tokenId: string): Token | undefined;
  /** Reads everything that nodes with this view serve, in one state; with `since`, only what changed after it. */
  readState(view: View, since?: number): Reading;
  close(): Promise<void>;
}
