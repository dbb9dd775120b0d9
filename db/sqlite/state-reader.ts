import type { View } from "../../src/sync/view.ts";
import type { StateReader } from "../store.ts";
import { type Connection, openConnection } from "./connection.ts";
import { translated } from "./errors.ts";
import {
  ALIAS_LINES,
  changeQueries,
  DOMAIN_ALIAS_LINE,
  DOMAIN_LINE,
  namesOf,
  StateQueries,
  USER_LINES,
} from "./state-queries.ts";

const PAGE_ROWS = 1000;

const ALIASES_OF_ONE = "domains JOIN aliases ON domains.id = aliases.domain_id";

/** Opens its own connection: a reader that holds one state must not delay any other. */
export function readState(path: string, view: View, since: number | undefined): StateReader {
  const connection = openConnection(path, { readonly: true });
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

/** The whole state in row order, or domain by domain. Each page is one walk of one index. */
async function* pages(connection: Connection, { role, domains }: View): AsyncGenerator<string> {
  const domainLines = { line: served(DOMAIN_LINE), from: "domains" };
  const userLines = {
    line: served(USER_LINES[role], "active = 1"),
    from: "users JOIN domains ON domains.id = users.domain_id",
  };
  const aliasLines = {
    line: served(ALIAS_LINES[role]),
    from: "aliases LEFT JOIN domains ON domains.id = aliases.domain_id",
  };
  const domainAliasLines = {
    line: DOMAIN_ALIAS_LINE,
    from: "domain_aliases JOIN domains ON domains.id = domain_aliases.domain_id",
  };
  if (domains === null) {
    yield* walk(connection, { ...domainLines, key: "domains.id", first: 0 });
    yield* walk(connection, { ...domainAliasLines, key: "domain_aliases.name", first: "" });
    yield* walk(connection, { ...userLines, key: "users.id", first: 0 });
    yield* walk(connection, { ...aliasLines, key: "aliases.id", first: 0 });
    return;
  }
  for (const name of domains) {
    yield* walk(connection, { ...domainLines, key: "name", first: "", name });
    yield* walk(connection, { ...domainAliasLines, key: "domain_aliases.name", first: "", name });
  }
  for (const name of domains) {
    yield* walk(connection, { ...userLines, key: "local_part", first: "", name });
    yield* walk(connection, { ...aliasLines, from: ALIASES_OF_ONE, key: "aliases.id", first: 0, name });
  }
  yield* walk(connection, { ...aliasLines, key: "aliases.id", first: 0, name: null });
}

/** NULL for a row that nodes do not get. It counts for its page: else one page could pass over a million hidden rows. */
function served(line: string, condition = "true"): string {
  return `iif(erase_after IS NULL AND ${condition}, ${line}, NULL)`;
}

interface Walk {
  line: string;
  from: string;
  /** The column that orders the walk, and a value before all others. */
  key: string;
  first: number | string;
  /** One domain's rows only, or with null those of no domain. */
  name?: string | null;
}

function* walk(connection: Connection, { line, from, key, first, name }: Walk): Generator<string> {
  const ofDomain =
    name === undefined ? "" : name === null ? "aliases.domain_id IS NULL AND" : "domains.name = @name AND";
  const page = connection.prepare<
    { last: number | string; name: string | null | undefined },
    { lines: string | null; last: number | string | null }
  >(
    `SELECT group_concat(line, '') AS lines, max(key) AS last FROM (
       SELECT ${line} AS line, ${key} AS key FROM ${from}
       WHERE ${ofDomain} ${key} > @last ORDER BY ${key} LIMIT ${PAGE_ROWS})`,
  );
  let last = first;
  for (;;) {
    const row = translated(() => page.get({ last, name }));
    if (row === undefined || row.last === null) return;
    yield row.lines ?? "";
    last = row.last;
  }
}

async function* changePages(connection: Connection, view: View, revision: number): AsyncGenerator<string> {
  for (const { rows } of changeQueries(connection, view.role)) {
    let page: string[] = [];
    for (const line of rows.iterate({ revision, names: namesOf(view), limit: -1 })) {
      page.push(line);
      if (page.length < PAGE_ROWS) continue;
      yield page.join("");
      page = [];
    }
    yield page.join("");
  }
}
