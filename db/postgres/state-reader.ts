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
  for (const one of walksOf(view)) {
    const domain = typeof one.name === "string" ? [one.name] : [];
    yield* fetched(client, walkQuery(one), [one.first, ...domain], 1);
  }
}

/** A walk's pages, one a row: the server finds each page's last key without another question. */
function walkQuery(one: Walk): string {
  const page = (last: string) => pageQuery(one, { rows: PAGE_ROWS, last, name: "$2" });
  return `WITH RECURSIVE pages AS ((${page("$1")}) UNION ALL
      SELECT page.* FROM pages CROSS JOIN LATERAL (${page("pages.last")}) AS page WHERE pages.last IS NOT NULL)
    SELECT lines AS line FROM pages WHERE last IS NOT NULL`;
}

async function* changePages(client: pg.Client, view: View, revision: number): AsyncGenerator<string> {
  const values = [revision, namesOf(view), Number.MAX_SAFE_INTEGER];
  for (const { text } of changeTexts[view.role]) yield* fetched(client, text, values, FETCHED);
}

/** The lines of a query, `rows` at a time. PostgreSQL reads the next ones while this process handles the last. */
async function* fetched(
  client: pg.Client,
  text: string,
  values: readonly unknown[],
  rows: number,
): AsyncGenerator<string> {
  const fetch = () => {
    const answer = client.query<{ line: string | null }>(`FETCH ${rows} FROM pages`);
    answer.catch(() => {}); // if the reader stops before, nobody waits for it
    return answer;
  };
  await translated(() => client.query(`DECLARE pages NO SCROLL CURSOR FOR ${text}`, [...values]));
  let next = fetch();
  for (;;) {
    const answer = next;
    next = fetch();
    const found = (await translated(() => answer)).rows;
    if (found.length === 0) break;
    yield found.map(({ line }) => line).join("");
  }
  await translated(() => client.query("CLOSE pages"));
}
