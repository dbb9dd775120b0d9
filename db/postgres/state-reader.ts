import { hash } from "node:crypto";
import type pg from "pg";
import type { View } from "../../src/sync/view.ts";
import { namesOf } from "../served/lines.ts";
import { pageQuery, type Walk, walksOf } from "../served/walks.ts";
import type { StateReader } from "../store.ts";
import type { Connections } from "./connections.ts";
import { translated } from "./errors.ts";
import { changeTexts, readSummary } from "./poll-reader.ts";
import { READ } from "./transactions.ts";

/** Lines of a delta that one page fetches. */
const FETCHED = 1000;

/** Opens its own connection: a reader that holds one state must not delay any other. */
export async function readState(
  connections: Connections,
  view: View,
  since: number | undefined,
): Promise<StateReader> {
  const client = await connections.open({ idle_in_transaction_session_timeout: 0 });
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
  const text = pageQuery(one, { last: "$1", name: "$2" });
  const name = hash("sha256", text).slice(0, 16); // a plan for all pages: making one takes as long as reading a page
  const domain = typeof one.name === "string" ? [one.name] : [];
  let last = one.first;
  for (;;) {
    const { rows } = await translated(() =>
      client.query<{ lines: string | null; last: number | string | null }>({
        name,
        text,
        values: [last, ...domain],
      }),
    );
    const [row] = rows;
    if (row === undefined || row.last === null) return;
    yield row.lines ?? "";
    last = row.last;
  }
}

async function* changePages(client: pg.Client, view: View, revision: number): AsyncGenerator<string> {
  for (const [place, { text }] of changeTexts[view.role].entries()) {
    const cursor = `changes_${place}`;
    const values = [revision, namesOf(view), Number.MAX_SAFE_INTEGER];
    await translated(() => client.query(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${text}`, values));
    for (;;) {
      const { rows } = await translated(() =>
        client.query<{ line: string }>(`FETCH ${FETCHED} FROM ${cursor}`),
      );
      if (rows.length === 0) break;
      yield rows.map(({ line }) => line).join("");
    }
    await translated(() => client.query(`CLOSE ${cursor}`));
  }
}
