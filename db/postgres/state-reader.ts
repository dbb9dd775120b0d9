import type pg from "pg";
import type { View } from "../../src/sync/view.ts";
import { namesOf } from "../served/lines.ts";
import { pageQuery, type Walk, walksOf } from "../served/walks.ts";
import type { StateReader } from "../store.ts";
import type { Connections } from "./connections.ts";
import { translated } from "./errors.ts";
import { prepared } from "./kysely.ts";
import { changeTexts, readSummary } from "./poll-reader.ts";
import { READ } from "./transactions.ts";

/** Rows of a page, some 60 kB: for larger texts PostgreSQL and pg get new memory each time, which costs a third more. */
const PAGE_ROWS = 300;
/**
 * Pages of one question, which PostgreSQL reads while this process handles those of the one before. Some 2.4 MB: PostgreSQL keeps
 * them until the question's end, and in a file those beyond work_mem.
 */
const ASKED_PAGES = 40;
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

interface Page {
  lines: string | null;
  last: Walk["first"];
}

async function* walk(client: pg.Client, one: Walk): AsyncGenerator<string> {
  const text = walkQuery(one);
  const domain = typeof one.name === "string" ? [one.name] : [];
  const ask = (last: Walk["first"]): Promise<pg.QueryResult<Page>> =>
    ahead(client.query<Page>(prepared(text, [last, ...domain])));
  for (let answer = ask(one.first); ; ) {
    const { rows } = await answer;
    const last = rows[ASKED_PAGES - 1]?.last;
    if (last !== undefined) answer = ask(last);
    for (const { lines } of rows) yield lines ?? "";
    if (last === undefined) return;
  }
}

/** An answer that a reader who stops before does not wait for. */
function ahead<T>(answer: Promise<T>): Promise<T> {
  const known = translated(() => answer);
  known.catch(() => {});
  return known;
}

/** A walk's next pages, one a row: PostgreSQL finds each page's last key without another question. */
function walkQuery(one: Walk): string {
  const page = (last: string) => pageQuery(one, { rows: PAGE_ROWS, last, name: "$2" });
  return `WITH RECURSIVE pages AS (SELECT page.*, 1 AS number FROM (${page("$1")}) AS page UNION ALL
      SELECT page.*, number + 1 FROM pages CROSS JOIN LATERAL (${page("pages.last")}) AS page
      WHERE pages.last IS NOT NULL AND number < ${ASKED_PAGES})
    SELECT lines, last FROM pages WHERE last IS NOT NULL`;
}

async function* changePages(client: pg.Client, view: View, revision: number): AsyncGenerator<string> {
  const values = [revision, namesOf(view), Number.MAX_SAFE_INTEGER];
  const fetch = () => ahead(client.query<{ line: string }>(`FETCH ${FETCHED} FROM lines`));
  for (const { text } of changeTexts[view.role]) {
    await translated(() => client.query(`DECLARE lines NO SCROLL CURSOR FOR ${text}`, values));
    for (let answer = fetch(); ; ) {
      const { rows } = await answer;
      if (rows.length === 0) break;
      answer = fetch();
      yield rows.map(({ line }) => line).join("");
    }
    await translated(() => client.query("CLOSE lines"));
  }
}
