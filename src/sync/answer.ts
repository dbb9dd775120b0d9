import type { AddressRecord, DomainRecord, NodeRole, UserRecord } from "./records.ts";

export const PROTOCOL = "m25-mail-sync-1";

/** How many records of each kind a state has. */
export interface Counts {
  domains: number;
  users: number;
}

/** The first line of every answer with maps. What it says of the state is true after the whole answer. */
export interface Header {
  protocol: typeof PROTOCOL;
  /** `snapshot`: every record. `delta`: what changed since the cursor that was sent, removals included. */
  kind: "snapshot" | "delta";
  role: NodeRole;
  /** Random id of this database's line of revisions; a restored copy starts another one. */
  history: string;
  revision: number;
  /** StateDigest of the node's records: its role's, of its domains. */
  digest: string;
  counts: Counts;
  /** Opaque; sent back as `since` to get what changes after this. */
  cursor: string;
}

/** The domains and active users that a node must serve. */
export interface MailState {
  role: NodeRole;
  history: string;
  revision: number;
  digest: string;
  cursor: string;
  domains: ReadonlyMap<string, DomainRecord>;
  users: ReadonlyMap<string, UserRecord | AddressRecord>;
}

export function encodeHeader(header: Omit<Header, "protocol">): string {
  const { kind, role, history, revision, digest, counts, cursor } = header;
  const whole: Header = { protocol: PROTOCOL, kind, role, history, revision, digest, counts, cursor };
  return JSON.stringify(whole);
}

/** The last line: how many lines with records stand before it. */
export function encodeEnd(records: number): string {
  return JSON.stringify({ end: records });
}

/** The ETag of a state: revision and digest, for after a restored backup the same number may mean other content. */
export function stateTag(state: { revision: number; digest: string }): string {
  return `"${state.revision}-${state.digest}"`;
}
