import { acceptanceOf } from "../../src/sync/acceptance.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import { type View, viewOf } from "../../src/sync/view.ts";
import type { EndedKey, PollingNode, PollView, StateSummary } from "../store.ts";
import type { StateRow } from "./summary.ts";

export interface NodeRow {
  id: number;
  name: string;
  ip_address: string | null;
  role: NodeRole;
  domains: string | null;
  accepted_revision: number | null;
  acceptances: number;
  key_hash: string;
  is_next: number;
  key_expires_at: string | null;
}

export interface EndedKeyRow {
  key_hash: string;
  node_id: number | null;
  node: string;
  ended_at: string;
}

/** The queries for the node and for the ended key with an id. */
export const nodeQuery = (id: string) =>
  `SELECT id, name, ip_address, role, domains, accepted_revision, acceptances,
     CASE WHEN key_id = ${id} THEN key_hash ELSE next_key_hash END AS key_hash,
     CASE WHEN key_id = ${id} THEN 0 ELSE 1 END AS is_next,
     CASE WHEN key_id = ${id} THEN key_expires_at END AS key_expires_at
   FROM nodes WHERE key_id = ${id} OR next_key_id = ${id}`;
export const endedKeyQuery = (id: string) =>
  `SELECT key_hash, node_id, node, ended_at FROM ended_keys WHERE key_id = ${id}`;

/** An engine's reads for polls. */
export interface PollQueries {
  /** @param row the state row of a view of all domains; others need one that is as new as their domains */
  summary(view: View, row: StateRow): StateSummary | Promise<StateSummary>;
  node(keyId: string): NodeRow | undefined | Promise<NodeRow | undefined>;
  endedKey(keyId: string): EndedKeyRow | undefined | Promise<EndedKeyRow | undefined>;
  digestAt(revision: number): string | undefined | Promise<string | undefined>;
  changes: PollView["changes"];
}

/** The state row of one look. The rows that its methods read stay in memory until a look finds them changed. */
export class CachedPollView implements PollView {
  readonly commit: number;
  readonly version: string;
  readonly cursorKey: string;
  readonly #queries: PollQueries;
  readonly #row: StateRow;
  #nodes = new Map<string, PollingNode>();
  #summaries = new Map<string, StateSummary>();

  /** @param before the view of the last look. Contact times are written every second: rows that they do not touch stay. */
  constructor(queries: PollQueries, commit: number, row: StateRow, before: CachedPollView | undefined) {
    this.commit = commit;
    this.version = `${row.history} ${row.revision} ${row.node_version}`;
    this.cursorKey = row.cursor_key;
    this.#queries = queries;
    this.#row = row;
    if (before === undefined || before.#row.history !== row.history) return;
    if (before.#row.node_version === row.node_version) this.#nodes = before.#nodes;
    if (before.#row.revision === row.revision) this.#summaries = before.#summaries;
  }

  async state(view: View): Promise<StateSummary> {
    const known = this.#summaries.get(view.id);
    if (known !== undefined) return known;
    const summary = await this.#queries.summary(view, this.#row);
    this.#summaries.set(view.id, summary);
    return summary;
  }

  async node(keyId: string): Promise<PollingNode | undefined> {
    const known = this.#nodes.get(keyId);
    if (known !== undefined) return known;
    const found = toPollingNode(await this.#queries.node(keyId));
    if (found !== undefined) this.#nodes.set(keyId, found);
    return found;
  }

  async endedKey(keyId: string): Promise<EndedKey | undefined> {
    const row = await this.#queries.endedKey(keyId);
    if (row === undefined) return undefined;
    return {
      id: keyId,
      hash: row.key_hash,
      node: { id: row.node_id, name: row.node },
      endedAt: row.ended_at,
    };
  }

  async digestAt(revision: number): Promise<string | undefined> {
    return this.#queries.digestAt(revision);
  }

  async changes(view: View, revision: number, limit: number) {
    return this.#queries.changes(view, revision, limit);
  }
}

function toPollingNode(row: NodeRow | undefined): PollingNode | undefined {
  if (row === undefined) return undefined;
  return {
    id: row.id,
    name: row.name,
    ipAddress: row.ip_address,
    keyHash: row.key_hash,
    keyIsNext: row.is_next === 1,
    keyExpiresAt: row.key_expires_at,
    view: viewOf(row.role, row.domains === null ? null : JSON.parse(row.domains)),
    accepted: row.accepted_revision === null ? null : acceptanceOf(row.accepted_revision, row.acceptances),
  };
}
