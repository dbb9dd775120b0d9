import type { Header } from "../src/sync/snapshot.ts";
import type { AuditTable } from "./audit.ts";
import type { DomainTable } from "./domains.ts";
import type { NodeTable } from "./nodes.ts";
import type { StateTable } from "./state.ts";
import type { TokenTable } from "./tokens.ts";
import type { UserTable } from "./users.ts";

/** The tables, as one transaction sees them. */
export interface Tables {
  state: StateTable;
  domains: DomainTable;
  users: UserTable;
  nodes: NodeTable;
  tokens: TokenTable;
  audit: AuditTable;
}

/** What a state says of itself: the parts of a snapshot's header that depend on the database. */
export type StateSummary = Pick<Header, "history" | "revision" | "digest" | "counts">;

/** A node as a poll needs it. */
export interface PollingNode {
  id: number;
  name: string;
  ipAddress: string | null;
  keyHash: string;
}

/** What polls are answered from, as it was at one look at the database. */
export interface PollView {
  state(): StateSummary;
  node(keyId: string): PollingNode | undefined;
}

/**
 * The hot path of the sync: synchronous, answered from memory while nothing was committed, by this
 * process or any other, since the last look. Its own methods look at each call.
 */
export interface PollReader extends PollView {
  /** One look for all that ask within one turn of the event loop, made after the last of them asked. */
  look(): Promise<PollView>;
}

/** One consistent reading of everything that nodes serve. Close it soon: it keeps the write-ahead log from being reused. */
export interface StateReading {
  summary: StateSummary;
  /** The record lines, each with its line feed, some hundred in a page; domains before users. */
  pages(): Generator<string>;
  close(): void;
}

/** What the program remembers. Every method throws MailError unavailable when the disk or the file fails. */
export interface Store {
  /** Runs `fn` in one read transaction. */
  read<T>(fn: (tables: Tables) => Promise<T>): Promise<T>;
  /** Runs `fn` in one write transaction: all of it is durable when this resolves, nothing of it when it rejects. */
  write<T>(fn: (tables: Tables) => Promise<T>): Promise<T>;
  polls: PollReader;
  readState(): StateReading;
  close(): Promise<void>;
}
