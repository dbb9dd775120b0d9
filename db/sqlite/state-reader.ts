import type { View } from "../../src/sync/view.ts";
import { namesOf } from "../served/lines.ts";
import { pageQuery, type Walk, walksOf } from "../served/walks.ts";
import type { StateReader } from "../store.ts";
import { type Connection, openConnection } from "./connection.ts";
import { translated } from "./errors.ts";
import { changedLines, StateQueries } from "./state-queries.ts";

/** Rows of a page. */
const PAGE_ROWS = 1000;

/** Opens its own connection: a reader that holds one state must not delay any other. */
export function readState(path: string, view: View, since: number | undefined): StateReader {
  const connection = openConnection(path, { readonly: true, isFirst: false });
  try {
    connection.exec("BEGIN");
    const queries = new StateQueries(connection);
    const summary = queries.summary(view, queries.stateRow());
    const lines = () =>
      since === undefined ? pages(connection, view) : changePages(connection, view, since);
    return { summary, pages: lines, close: async () => void connection.close() };
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function* pages(connection: Connection, view: View): AsyncGenerator<string> {
  for (const one of walksOf(view)) yield* walk(connection, one);
}

function* walk(connection: Connection, one: Walk): Generator<string> {
  const page = connection.prepare<
    { last: number | string; name: string | null | undefined },
    { lines: string | null; last: number | string | null }
  >(pageQuery(one, { rows: PAGE_ROWS, last: "@last", name: "@name" }));
  let last = one.first;
  for (;;) {
    const row = translated(() => page.get({ last, name: one.name }));
    if (row === undefined || row.last === null) return;
    yield row.lines ?? "";
    last = row.last;
  }
}

async function* changePages(connection: Connection, view: View, revision: number): AsyncGenerator<string> {
  for (const { lines } of changedLines(connection, view.role)) {
    let page: string[] = [];
    for (const line of lines.iterate({ revision, names: namesOf(view), limit: -1 })) {
      page.push(line);
      if (page.length < PAGE_ROWS) continue;
      yield page.join("");
      page = [];
    }
    yield page.join("");
  }
}
