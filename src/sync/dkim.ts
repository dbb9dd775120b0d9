/** Domains of one report of keys, and keys of one domain: the body stays below the server's limit of 64 KiB. */
export const MOST_DKIM_DOMAINS = 40;
export const MOST_DKIM_KEYS = 3;

/** The server's position in the answers to one node; "" for none. */
export const DKIM_CURSOR = /^([0-9a-f]{32}-\d{1,15}-\d{1,15})?$/;

/** `known`: the server has it. `seen`: DNS has it, so the node may sign with it. `replace`: seen, and another must follow it. */
export const dkimStates = ["known", "seen", "replace"] as const;

export type DkimState = (typeof dkimStates)[number];

/** A node's question about its keys. */
export interface DkimReport {
  /** That of the last answer, unchanged. */
  cursor: string;
  /** The public keys of some domains, in place of those that the server has of these domains. */
  keys: Readonly<Record<string, readonly string[]>>;
}

export interface DkimAnswer {
  /** "" if the server does not know the question's cursor: the node reports all keys again. */
  cursor: string;
  /** The keys, by their selectors, whose state has changed since the question's cursor. */
  keys: Readonly<Record<string, DkimState>>;
  /** There are more. */
  more: boolean;
}
