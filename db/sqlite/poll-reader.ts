import { setImmediate as nextTurn } from "node:timers/promises";
import { acceptanceOf } from "../../src/sync/acceptance.ts";
import type { NodeRole } from "../../src/sync/records.ts";
import { type View, viewOf } from "../../src/sync/view.ts";
import type { EndedKey, PollingNode, PollReader, PollView, StateSummary } from "../store.ts";
import type { Connection } from "./connection.ts";
import { translated } from "./errors.ts";
import { changeQueries, countChanges, namesOf, StateQueries, type StateRow } from "./state-queries.ts";

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

/**
 * Reads for polls, on a connection that never writes: so data_version changes with every commit, of this process too.
 */
export class FilePollReader implements PollReader {
  readonly #queries: PollQueries;
  readonly #dataVersion;
  #view: FilePollView | undefined;
  #nextLook: Promise<PollView> | undefined;

  constructor(connection: Connection) {
    this.#queries = new PollQueries(connection);
    this.#dataVersion = connection.prepare<[], number>("PRAGMA data_version").pluck();
  }

  // A look takes file locks, a third of a poll's own work. It happens after all requests of this turn have arrived,
  // so that each poll sees everything that was committed before it was sent.
  look(): Promise<PollView> {
    this.#nextLook ??= nextTurn().then(() => {
      this.#nextLook = undefined;
      return this.lookNow();
    });
    return this.#nextLook;
  }

  /** @throws MailError unavailable */
  lookNow(): PollView {
    return translated(() => {
      const commit = this.#dataVersion.get() ?? 0;
      if (this.#view?.commit !== commit) {
        this.#view = new FilePollView(this.#queries, commit, this.#queries.state.stateRow(), this.#view);
      }
      return this.#view;
    });
  }

  latest(): string {
    return this.#view?.version ?? "";
  }
}

/** The prepared statements of polls, without Kysely. */
class PollQueries {
  readonly state: StateQueries;
  readonly digestAt;
  readonly node;
  readonly endedKey;
  readonly #changes;
  readonly #changed;

  constructor(connection: Connection) {
    this.state = new StateQueries(connection);
    this.digestAt = connection
      .prepare<[number], string>("SELECT digest FROM revisions WHERE revision = ?")
      .pluck();
    this.node = connection.prepare<{ id: string }, NodeRow>(
      `SELECT id, name, ip_address, role, domains, accepted_revision, acceptances,
         iif(key_id = @id, key_hash, next_key_hash) AS key_hash, key_id <> @id AS is_next,
         iif(key_id = @id, key_expires_at, NULL) AS key_expires_at
       FROM nodes WHERE key_id = @id OR next_key_id = @id`,
    );
    this.endedKey = connection.prepare<{ id: string }, EndedKeyRow>(
      "SELECT key_hash, node_id, node, ended_at FROM ended_keys WHERE key_id = @id",
    );
    this.#changes = { mail: changeQueries(connection, "mail"), mx: changeQueries(connection, "mx") };
    this.#changed = countChanges(connection);
  }

  changes(part: View, revision: number, limit: number) {
    // Count the rows that are read, not only those that this view gets: others cost time as well.
    const changed = this.#changed.get({ revision, limit: limit + 1 });
    if (changed === undefined || Object.values(changed).reduce((sum, rows) => sum + rows) > limit)
      return undefined;
    const lines: string[] = [];
    for (const { table, rows } of this.#changes[part.role]) {
      if (changed[table] === 0) continue;
      lines.push(...rows.all({ revision, names: namesOf(part), limit: limit + 1 - lines.length }));
      if (lines.length > limit) return undefined;
    }
    return { summary: this.state.summary(part, this.state.stateRow()), lines };
  }
}

/** The state row of one look. What its methods read stays in memory until a look finds it changed. */
class FilePollView implements PollView {
  readonly commit: number;
  readonly version: string;
  readonly cursorKey: string;
  readonly #queries: PollQueries;
  readonly #row: StateRow;
  #nodes = new Map<string, PollingNode>();
  #summaries = new Map<string, StateSummary>();

  /** @param before the view of the last look. Contact times are written every second: rows that they do not touch stay. */
  constructor(queries: PollQueries, commit: number, row: StateRow, before: FilePollView | undefined) {
    this.commit = commit;
    this.version = `${row.history} ${row.revision} ${row.node_version}`;
    this.cursorKey = row.cursor_key;
    this.#queries = queries;
    this.#row = row;
    if (before === undefined || before.#row.history !== row.history) return;
    if (before.#row.node_version === row.node_version) this.#nodes = before.#nodes;
    if (before.#row.revision === row.revision) this.#summaries = before.#summaries;
  }

  async state(part: View): Promise<StateSummary> {
    const known = this.#summaries.get(part.id);
    if (known !== undefined) return known;
    const { state } = this.#queries;
    const row = part.domains === null ? this.#row : undefined;
    const summary = translated(() => state.consistently(() => state.summary(part, row ?? state.stateRow())));
    this.#summaries.set(part.id, summary);
    return summary;
  }

  async node(keyId: string): Promise<PollingNode | undefined> {
    const found =
      this.#nodes.get(keyId) ?? toPollingNode(translated(() => this.#queries.node.get({ id: keyId })));
    if (found !== undefined) this.#nodes.set(keyId, found);
    return found;
  }

  async endedKey(keyId: string): Promise<EndedKey | undefined> {
    return toEndedKey(
      keyId,
      translated(() => this.#queries.endedKey.get({ id: keyId })),
    );
  }

  async digestAt(revision: number): Promise<string | undefined> {
    return translated(() => this.#queries.digestAt.get(revision));
  }

  async changes(part: View, revision: number, limit: number) {
    const { state } = this.#queries;
    return translated(() => state.consistently(() => this.#queries.changes(part, revision, limit)));
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
