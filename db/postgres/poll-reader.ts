import type pg from "pg";
import type { View } from "../../src/sync/view.ts";
import { type ChangedRows, changedRowsQuery, changeQueries, namesOf, sumOf } from "../served/lines.ts";
import { onceATurn } from "../served/once-a-turn.ts";
import {
  CachedPollView,
  type EndedKeyRow,
  endedKeyQuery,
  type NodeRow,
  nodeQuery,
  type PollQueries,
} from "../served/poll-view.ts";
import { type DomainPart, type StateRow, summaryOf } from "../served/summary.ts";
import type { PollReader, PollView, StateSummary } from "../store.ts";
import { translated } from "./errors.ts";
import type { Pool } from "./pool.ts";
import { READ, soon } from "./transactions.ts";

/** Answers polls from the primary: a look that begins after a poll asks it, so that each poll sees all that was committed before. */
export class PostgresPollReader implements PollReader {
  readonly #pool: Pool;
  readonly #queries: PoolQueries;
  #view: CachedPollView | undefined;
  /** PostgreSQL's snapshot at the last look: it changes with each commit. */
  #snapshot = "";
  readonly look = onceATurn(() => this.#lookNow());

  constructor(pool: Pool) {
    this.#pool = pool;
    this.#queries = new PoolQueries(pool);
  }

  latest(): string {
    return this.#view?.version ?? "";
  }

  /** @throws MailError unavailable */
  async #lookNow(): Promise<PollView> {
    const { rows } = await translated(() => this.#pool.query<StateRow & { snapshot: string }>(LOOK));
    const [row] = rows;
    if (row === undefined) throw new Error("the state row is missing");
    const before = this.#view;
    if (before !== undefined && row.snapshot === this.#snapshot) return before;
    this.#snapshot = row.snapshot;
    this.#view = new CachedPollView(this.#queries, (before?.commit ?? 0) + 1, row, before);
    return this.#view;
  }
}

const LOOK = soon({
  name: "look",
  text: "SELECT *, pg_current_snapshot()::text AS snapshot FROM state",
});

/** The state row in each row, with one of the view's domains if there are any: one statement sees one state. */
const SUMMARY = `SELECT state.*, domains.digest AS part_digest, domains.mx_digest AS part_mx_digest,
    domains.user_count AS part_user_count, domains.alias_count AS part_alias_count,
    domains.domain_alias_count AS part_domain_alias_count
  FROM state LEFT JOIN domains ON domains.name IN (SELECT value FROM json_each($1))`;

type Prefixed<Row> = { [Column in keyof Row as `part_${Column & string}`]: Row[Column] };
type SummaryRow = StateRow & Prefixed<{ [Column in keyof DomainPart]: DomainPart[Column] | null }>;

interface Queryable {
  query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>>;
}

/** The summary of one state, which one statement reads. */
export async function readSummary(db: Queryable, view: View): Promise<StateSummary> {
  const { rows } = await db.query<SummaryRow>({
    name: "summary",
    text: SUMMARY,
    values: [namesOf(view) ?? "[]"],
  });
  const [row] = rows;
  if (row === undefined) throw new Error("the state row is missing");
  return summaryOf(view, row, rows.flatMap(toPart));
}

function toPart(row: SummaryRow): DomainPart[] {
  if (row.part_digest === null || row.part_mx_digest === null) return [];
  return [
    {
      digest: row.part_digest,
      mx_digest: row.part_mx_digest,
      user_count: row.part_user_count ?? 0,
      alias_count: row.part_alias_count ?? 0,
      domain_alias_count: row.part_domain_alias_count ?? 0,
    },
  ];
}

export const changeTexts = { mail: texts("mail"), mx: texts("mx") };

function texts(role: View["role"]) {
  return changeQueries(role, { revision: "$1", names: "$2", limit: "$3" });
}

const NODE = soon({ name: "node", text: nodeQuery("$1") });
const ENDED_KEY = { name: "ended-key", text: endedKeyQuery("$1") };
const DIGEST_AT = { name: "digest-at", text: "SELECT digest FROM revisions WHERE revision = $1" };
const CHANGED = { name: "changed", text: changedRowsQuery({ revision: "$1", limit: "$2" }) };

class PoolQueries implements PollQueries {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async summary(view: View, row: StateRow): Promise<StateSummary> {
    if (view.domains === null) return summaryOf(view, row, []);
    return translated(() => readSummary(this.#pool, view));
  }

  async node(keyId: string) {
    const { rows } = await translated(() => this.#pool.query<NodeRow>({ ...NODE, values: [keyId] }));
    return rows[0];
  }

  async endedKey(keyId: string) {
    const { rows } = await translated(() => this.#pool.query<EndedKeyRow>({ ...ENDED_KEY, values: [keyId] }));
    return rows[0];
  }

  async digestAt(revision: number) {
    const { rows } = await translated(() =>
      this.#pool.query<{ digest: string }>({ ...DIGEST_AT, values: [revision] }),
    );
    return rows[0]?.digest;
  }

  changes(view: View, revision: number, limit: number) {
    return translated(async () => {
      const client = await this.#pool.connect();
      let isSettled = false;
      try {
        await client.query(READ);
        const found = await changesOf(client, view, revision, limit);
        await client.query("COMMIT");
        isSettled = true;
        return found;
      } finally {
        client.release(!isSettled);
      }
    });
  }
}

async function changesOf(client: pg.PoolClient, view: View, revision: number, limit: number) {
  const { rows } = await client.query<ChangedRows>({ ...CHANGED, values: [revision, limit + 1] });
  const [changed] = rows;
  if (changed === undefined || sumOf(changed) > limit) return undefined;
  const lines: string[] = [];
  for (const [place, { table, text }] of changeTexts[view.role].entries()) {
    if (changed[table] === 0) continue;
    const values = [revision, namesOf(view), limit + 1 - lines.length];
    const found = await client.query<{ line: string }>({ name: `${view.role}-${place}`, text, values });
    for (const { line } of found.rows) lines.push(line);
    if (lines.length > limit) return undefined;
  }
  return { summary: await readSummary(client, view), lines };
}
