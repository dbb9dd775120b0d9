import type pg from "pg";
import type { View } from "../../src/sync/view.ts";
import { namesOf } from "../served/lines.ts";
import { pageQuery, type Walk, walksOf } from "../served/walks.ts";
import type { StateReader } from "../store.ts";
import type { Connections } from "./connections.ts";
import { translated } from "./errors.ts";
import { changeTexts, readSummary } from "./poll-reader.ts";
import { READ } from "./transactions.ts";

/** Rows of a page, some 60 kB: for larger texts PostgreSQL and pg get new memory each time, which costs a third more. */
const PAGE_ROWS = 300;
/** Pages of a cursor, some 4 MB: PostgreSQL keeps them until its end, and in a file those beyond work_mem. */
const CURSOR_PAGES = 60;
/** Lines of a delta that one page fetches. */
const FETCHED = 1000;

/** Opens its own connection: a reader that holds one state must not delay any other. */
export async function readState(
  connections: Connections,
  view: View,
  since: number | undefined,
): Promise<StateReader> {
  const client = await connections.open({ idle_in_transaction_session_timeout: 0, pipeline: true });
  try {
    const summary = await translated(async () => {
      await client.query(READ);
      return readSummary(client, view);
    });
    const pages = () => (since === undefined ? allPages(client, view) : changePages(client, view, since));
    return { summary, pages, close: () => client.end() };
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }
}

async function* allPages(client: pg.Client, view: View): AsyncGenerator<string> {
  for (const one of walksOf(view)) yield* walk(client, one);
}

async function* walk(client: pg.Client, one: Walk): AsyncGenerator<string> {
  const domain = typeof one.name === "string" ? [one.name] : [];
  let last = one.first;
  for (let pages = CURSOR_PAGES; pages === CURSOR_PAGES; ) {
    pages = 0;
    const cursor = fetched<{ lines: string | null; last: typeof last }>(
      client,
      walkQuery(one),
      [last, ...domain],
      1,
    );
    for await (const rows of cursor) {
      yield rows.map(({ lines }) => lines).join("");
      last = rows.at(-1)?.last ?? last;
      pages += rows.length;
    }
  }
}

/** A walk's next pages, one a row: PostgreSQL finds each page's last key without another question. */
function walkQuery(one: Walk): string {
  const page = (last: string) => pageQuery(one, { rows: PAGE_ROWS, last, name: "$2" });
  return `WITH RECURSIVE pages AS (SELECT page.*, 1 AS number FROM (${page("$1")}) AS page UNION ALL
      SELECT page.*, number + 1 FROM pages CROSS JOIN LATERAL (${page("pages.last")}) AS page
      WHERE pages.last IS NOT NULL AND number < ${CURSOR_PAGES})
    SELECT lines, last FROM pages WHERE last IS NOT NULL`;
}

async function* changePages(client: pg.Client, view: View, revision: number): AsyncGenerator<string> {
  const values = [revision, namesOf(view), Number.MAX_SAFE_INTEGER];
  for (const { text } of changeTexts[view.role]) {
    for await (const rows of fetched<{ line: string }>(client, text, values, FETCHED))
      yield rows.map(({ line }) => line).join("");
  }
}

/** The rows of a query, so many at a time. PostgreSQL reads the next ones while this process handles the last. */
async function* fetched<Row extends pg.QueryResultRow>(
  client: pg.Client,
  text: string,
  values: readonly unknown[],
  number: number,
): AsyncGenerator<Row[]> {
  const fetch = () => {
    const answer = client.query<Row>(`FETCH ${number} FROM pages`);
    answer.catch(() => {}); // if the reader stops before, nobody waits for it
    return answer;
  };
  await translated(() => client.query(`DECLARE pages NO SCROLL CURSOR FOR ${text}`, [...values]));
  let next = fetch();
  for (;;) {
    const answer = next;
    next = fetch();
    const { rows } = await translated(() => answer);
    if (rows.length === 0) break;
    yield rows;
  }
  await translated(() => client.query("CLOSE pages"));
}
