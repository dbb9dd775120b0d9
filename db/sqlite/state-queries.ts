import type { NodeRole } from "../../src/sync/records.ts";
import type { View } from "../../src/sync/view.ts";
import { changeQueries } from "../served/lines.ts";
import { type DomainPart, PART_COLUMNS, type StateRow, summaryOf } from "../served/summary.ts";
import type { StateSummary } from "../store.ts";
import type { Connection } from "./connection.ts";

/** The queries of the sync, prepared on one connection. */
export class StateQueries {
  readonly #connection: Connection;
  readonly #state;
  readonly #parts;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#state = connection.prepare<[], StateRow>("SELECT * FROM state");
    this.#parts = connection.prepare<[string], DomainPart>(
      `SELECT ${PART_COLUMNS} FROM domains WHERE name IN (SELECT value FROM json_each(?))`,
    );
  }

  stateRow(): StateRow {
    const row = this.#state.get();
    if (row === undefined) throw new Error("the state row is missing");
    return row;
  }

  summary(view: View, row: StateRow): StateSummary {
    const parts = view.domains === null ? [] : this.#parts.all(JSON.stringify(view.domains));
    return summaryOf(view, row, parts);
  }

  /** Runs `fn` in one read transaction. */
  consistently<T>(fn: () => T): T {
    return this.#connection.transaction(fn).deferred();
  }
}

/** The queries for the lines of a delta. */
export function changedLines(connection: Connection, role: NodeRole) {
  const parameters = { revision: "@revision", names: "@names", limit: "@limit" };
  return changeQueries(role, parameters).map(({ table, text }) => ({
    table,
    lines: connection
      .prepare<{ revision: number; names: string | null; limit: number }, string>(text)
      .pluck(),
  }));
}
