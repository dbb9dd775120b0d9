import type { View } from "../../src/sync/view.ts";
import { type ChangedRows, changedRowsQuery, namesOf, sumOf } from "../served/lines.ts";
import { onceATurn } from "../served/once-a-turn.ts";
import {
  CachedPollView,
  type EndedKeyRow,
  endedKeyQuery,
  type NodeRow,
  nodeQuery,
  type PollQueries,
} from "../served/poll-view.ts";
import type { StateRow } from "../served/summary.ts";
import type { PollReader, PollView } from "../store.ts";
import type { Connection } from "./connection.ts";
import { translated } from "./errors.ts";
import { changedLines, StateQueries } from "./state-queries.ts";

/**
 * Reads for polls, on a connection that never writes: so data_version changes with every commit, of this process too.
 */
export class FilePollReader implements PollReader {
  readonly #queries: FileQueries;
  readonly #dataVersion;
  #view: CachedPollView | undefined;
  /** A look takes file locks, a third of a poll's own work. */
  readonly look = onceATurn(() => this.lookNow());

  constructor(connection: Connection) {
    this.#queries = new FileQueries(connection);
    this.#dataVersion = connection.prepare<[], number>("PRAGMA data_version").pluck();
  }

  /** @throws MailError unavailable */
  lookNow(): PollView {
    return translated(() => {
      const commit = this.#dataVersion.get() ?? 0;
      if (this.#view?.commit !== commit) {
        this.#view = new CachedPollView(this.#queries, commit, this.#queries.stateRow(), this.#view);
      }
      return this.#view;
    });
  }

  latest(): string {
    return this.#view?.version ?? "";
  }
}

/** The prepared statements of polls, without Kysely. */
class FileQueries implements PollQueries {
  readonly #state: StateQueries;
  readonly #digestAt;
  readonly #node;
  readonly #endedKey;
  readonly #changes;
  readonly #changed;

  constructor(connection: Connection) {
    this.#state = new StateQueries(connection);
    this.#digestAt = connection
      .prepare<[number], string>("SELECT digest FROM revisions WHERE revision = ?")
      .pluck();
    this.#node = connection.prepare<{ id: string }, NodeRow>(nodeQuery("@id"));
    this.#endedKey = connection.prepare<{ id: string }, EndedKeyRow>(endedKeyQuery("@id"));
    this.#changes = { mail: changedLines(connection, "mail"), mx: changedLines(connection, "mx") };
    this.#changed = connection.prepare<{ revision: number; limit: number }, ChangedRows>(
      changedRowsQuery({ revision: "@revision", limit: "@limit" }),
    );
  }

  stateRow(): StateRow {
    return this.#state.stateRow();
  }

  summary(view: View, row: StateRow) {
    return translated(() =>
      this.#state.consistently(() =>
        this.#state.summary(view, view.domains === null ? row : this.#state.stateRow()),
      ),
    );
  }

  node(keyId: string) {
    return translated(() => this.#node.get({ id: keyId }));
  }

  endedKey(keyId: string) {
    return translated(() => this.#endedKey.get({ id: keyId }));
  }

  digestAt(revision: number) {
    return translated(() => this.#digestAt.get(revision));
  }

  async changes(view: View, revision: number, limit: number) {
    return translated(() => this.#state.consistently(() => this.#changesOf(view, revision, limit)));
  }

  #changesOf(view: View, revision: number, limit: number) {
    const changed = this.#changed.get({ revision, limit: limit + 1 });
    if (changed === undefined || sumOf(changed) > limit) return undefined;
    const lines: string[] = [];
    for (const { table, lines: query } of this.#changes[view.role]) {
      if (changed[table] === 0) continue;
      lines.push(...query.all({ revision, names: namesOf(view), limit: limit + 1 - lines.length }));
      if (lines.length > limit) return undefined;
    }
    return { summary: this.#state.summary(view, this.#state.stateRow()), lines };
  }
}
