import { setImmediate as nextTurn } from "node:timers/promises";
import { acceptanceOf } from "../../src/sync/acceptance.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import { type View, viewOf } from "../../src/sync/view.ts";
import type { EndedKey, PollingNode, PollReader, PollView, StateSummary } from "../store.ts";
import type { Connection } from "./connection.ts";
import { translated } from "./errors.ts";
import { changeQueries, namesOf, StateQueries, type StateRow } from "./state-queries.ts";

interface NodeRow {
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

interface EndedKeyRow {
  key_hash: string;
  node_id: number | null;
  node: string;
  ended_at: string;
}

/** Reads for polls, on a connection that never writes. */
export function pollReader(connection: Connection): PollReader {
  const view = new CachedView(connection);
  const lookNow = () =>
    translated(() => {
      view.look();
      return view;
    });
  let nextLook: Promise<PollView> | undefined;
  return {
    now: lookNow,
    // A look takes file locks, a third of a poll's own work. It happens after all requests of this turn have arrived,
    // so that each poll sees everything that was committed before it was sent.
    look() {
      nextLook ??= nextTurn().then(() => {
        nextLook = undefined;
        return lookNow();
      });
      return nextLook;
    },
  };
}

/**
 * Uses prepared statements without Kysely. data_version changes with every commit, of this process too, because the
 * connection never writes. Cached rows stay valid until it does.
 */
class CachedView implements PollView {
  readonly #queries: StateQueries;
  readonly #dataVersion;
  readonly #digestAt;
  readonly #node;
  readonly #endedKey;
  readonly #changes;
  readonly #visited;
  #seen: number | undefined;
  #row: StateRow | undefined;
  readonly #nodes = new Map<string, PollingNode>();
  readonly #summaries = new Map<string, StateSummary>();

  constructor(connection: Connection) {
    this.#queries = new StateQueries(connection);
    this.#dataVersion = connection.prepare<[], number>("PRAGMA data_version").pluck();
    this.#digestAt = connection
      .prepare<[number], string>("SELECT digest FROM revisions WHERE revision = ?")
      .pluck();
    this.#node = connection.prepare<{ id: string }, NodeRow>(
      `SELECT id, name, ip_address, role, domains, accepted_revision, acceptances,
         iif(key_id = @id, key_hash, next_key_hash) AS key_hash, key_id <> @id AS is_next,
         iif(key_id = @id, key_expires_at, NULL) AS key_expires_at
       FROM nodes WHERE key_id = @id OR next_key_id = @id`,
    );
    this.#endedKey = connection.prepare<{ id: string }, EndedKeyRow>(
      "SELECT key_hash, node_id, node, ended_at FROM ended_keys WHERE key_id = @id",
    );
    this.#changes = { mail: changeQueries(connection, "mail"), mx: changeQueries(connection, "mx") };
    this.#visited = connection
      .prepare<{ revision: number; limit: number }, number>(
        `SELECT (SELECT count(*) FROM (SELECT 1 FROM users WHERE revision > @revision LIMIT @limit))
           + (SELECT count(*) FROM (SELECT 1 FROM aliases WHERE revision > @revision LIMIT @limit))
           + (SELECT count(*) FROM (SELECT 1 FROM removals WHERE revision > @revision LIMIT @limit))`,
      )
      .pluck();
  }

  /** Contact times are written every second. Rows that they do not touch stay cached. */
  look(): StateRow {
    const version = this.#dataVersion.get();
    const before = this.#row;
    if (version === this.#seen && before !== undefined) return before;
    const row = this.#queries.stateRow();
    this.#row = row;
    this.#seen = version;
    const sameHistory = before?.history === row.history;
    if (!sameHistory || before.node_version !== row.node_version) this.#nodes.clear();
    if (!sameHistory || before.revision !== row.revision) this.#summaries.clear();
    return row;
  }

  version(): string {
    const { history, revision, node_version } = this.#known();
    return `${history} ${revision} ${node_version}`;
  }

  commit(): number {
    this.#known();
    return this.#seen ?? 0;
  }

  state(part: View): StateSummary {
    const known = this.#summaries.get(part.id);
    if (known !== undefined) return known;
    const row = part.domains === null ? this.#known() : undefined;
    const summary = translated(() =>
      this.#queries.consistently(() => this.#queries.summary(part, row ?? this.#queries.stateRow())),
    );
    this.#summaries.set(part.id, summary);
    return summary;
  }

  node(keyId: string): PollingNode | undefined {
    const found = this.#nodes.get(keyId) ?? toPollingNode(translated(() => this.#node.get({ id: keyId })));
    if (found !== undefined) this.#nodes.set(keyId, found);
    return found;
  }

  endedKey(keyId: string): EndedKey | undefined {
    return toEndedKey(
      keyId,
      translated(() => this.#endedKey.get({ id: keyId })),
    );
  }

  cursorKey(): string {
    return this.#known().cursor_key;
  }

  digestAt(revision: number): string | undefined {
    return translated(() => this.#digestAt.get(revision));
  }

  changes(part: View, revision: number, limit: number) {
    return translated(() => this.#queries.consistently(() => this.#changesOf(part, revision, limit)));
  }

  #changesOf(part: View, revision: number, limit: number) {
    // Count the rows that are read, not only those that this view gets: others cost time as well.
    if ((this.#visited.get({ revision, limit: limit + 1 }) ?? 0) > limit) return undefined;
    const lines: string[] = [];
    for (const query of this.#changes[part.role]) {
      lines.push(...query.all({ revision, names: namesOf(part), limit: limit + 1 - lines.length }));
      if (lines.length > limit) return undefined;
    }
    return { summary: this.#queries.summary(part, this.#queries.stateRow()), lines };
  }

  /** The state row of the last look. */
  #known(): StateRow {
    return this.#row ?? translated(() => this.look());
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

function toEndedKey(id: string, row: EndedKeyRow | undefined): EndedKey | undefined {
  if (row === undefined) return undefined;
  return { id, hash: row.key_hash, node: { id: row.node_id, name: row.node }, endedAt: row.ended_at };
}
