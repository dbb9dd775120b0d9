import type { NodeRole } from "./records.ts";

export const PROTOCOL = "m25-mail-sync-2";

/** Number of records of each kind. */
export interface Counts {
  domains: number;
  users: number;
  aliases: number;
  domain_aliases: number;
}

/** The first line of every answer with maps. It describes the state after the whole answer. */
export interface Header {
  protocol: typeof PROTOCOL;
  /** `snapshot`: every record. `delta`: changes since the sent cursor, removals included. */
  kind: "snapshot" | "delta";
  role: NodeRole;
  /** Random id of this database's line of revisions. A restored copy starts a new one. */
  history: string;
  revision: number;
  /** StateDigest of the node's records: those of its role and domains. */
  digest: string;
  counts: Counts;
  /** Opaque. Sent back as `since`, it gets later changes. */
  cursor: string;
}

export function encodeHeader(header: Omit<Header, "protocol">): string {
  const { kind, role, history, revision, digest, counts, cursor } = header;
  const whole: Header = { protocol: PROTOCOL, kind, role, history, revision, digest, counts, cursor };
  return JSON.stringify(whole);
}

/** The last line: the number of record lines before it. */
export function encodeEnd(records: number): string {
  return JSON.stringify({ end: records });
}

/** The ETag of a state: revision and digest. After a restore the same revision may have other content. */
export function stateTag(state: { revision: number; digest: string }): string {
  return `"${state.revision}-${state.digest}"`;
}
