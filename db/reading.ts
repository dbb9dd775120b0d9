import { setImmediate as nextTurn } from "node:timers/promises";
import { acceptanceOf } from "../src/sync/acceptance.ts";
import type { Counts } from "../src/sync/answer.ts";
import { StateDigest } from "../src/sync/digest.ts";
import type { NodeRole } from "../src/sync/records.ts";
import { type View, viewOf } from "../src/sync/view.ts";
import { type Connection, openConnection, translated } from "./file.ts";
import type { EndedKey, PollingNode, PollReader, PollView, Reading, StateSummary } from "./store.ts";

const PAGE_ROWS = 1000;

interface StateRow {
  history: string;
  revision: number;
  digest: string;
  mx_digest: string;
  cursor_key: string;
  domain_count: number;
  user_count: number;
  node_version: number;
}

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

/** The queries of the sync, prepared on one connection. */
class Queries {
  readonly #connection: Connection;
  readonly #state;
  readonly #parts;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#state = connection.prepare<[], StateRow>("SELECT * FROM state");
    this.#parts = connection.prepare<[string], { digest: string; mx_digest: string; user_count: number }>(
      "SELECT digest, mx_digest, user_count FROM domains WHERE name IN (SELECT value FROM json_each(?))",
    );
  }

  stateRow(): StateRow {
    const row = this.#state.get();
    if (row === undefined) throw new Error("the state row is missing");
    return row;
  }

  summary({ role, domains }: View, row: StateRow): StateSummary {
    const { history, revision, digest: wholeDigest } = row;
    if (domains === null) {
      const counts = { domains: row.domain_count, users: row.user_count };
      return { history, revision, wholeDigest, digest: role === "mx" ? row.mx_digest : wholeDigest, counts };
    }
    const sum = new StateDigest();
    const counts: Counts = { domains: 0, users: 0 };
    for (const part of this.#parts.all(JSON.stringify(domains))) {
      sum.addDigest(StateDigest.fromHex(role === "mx" ? part.mx_digest : part.digest));
      counts.domains += 1;
      counts.users += part.user_count;
    }
    return { history, revision, wholeDigest, digest: sum.toString(), counts };
  }

  /** Runs `fn` in one read transaction. */
  consistently<T>(fn: () => T): T {
    return this.#connection.transaction(fn).deferred();
  }
}

/**
 * Polls use prepared statements without Kysely, on a connection that never writes. Its data_version then changes with
 * every commit, of this process too, and cached rows stay valid until it does.
 */
export function pollReader(connection: Connection): PollReader {
  const queries = new Queries(connection);
  const dataVersion = connection.prepare<[], number>("PRAGMA data_version").pluck();
  const digestAt = connection
    .prepare<[number], string>("SELECT digest FROM revisions WHERE revision = ?")
    .pluck();
  const node = connection.prepare<{ id: string }, NodeRow>(
    `SELECT id, name, ip_address, role, domains, accepted_revision, acceptances,
       iif(key_id = @id, key_hash, next_key_hash) AS key_hash, key_id <> @id AS is_next,
       iif(key_id = @id, key_expires_at, NULL) AS key_expires_at
     FROM nodes WHERE key_id = @id OR next_key_id = @id`,
  );
  const endedKey = connection.prepare<{ id: string }, EndedKeyRow>(
    "SELECT key_hash, node_id, node, ended_at FROM ended_keys WHERE key_id = @id",
  );
  const changes = { mail: changeQueries(connection, "mail"), mx: changeQueries(connection, "mx") };
  const visited = connection
    .prepare<{ revision: number; limit: number }, number>(
      `SELECT (SELECT count(*) FROM (SELECT 1 FROM users WHERE revision > @revision LIMIT @limit))
         + (SELECT count(*) FROM (SELECT 1 FROM removals WHERE revision > @revision LIMIT @limit))`,
    )
    .pluck();
  let seen: number | undefined;
  let row: StateRow | undefined;
  let nextLook: Promise<PollView> | undefined;
  const nodes = new Map<string, PollingNode>();
  const summaries = new Map<string, StateSummary>();

  /** Contact times are written every second. Rows that they do not touch stay cached. */
  function look(): StateRow {
    const version = dataVersion.get();
    if (version === seen && row !== undefined) return row;
    const before = row;
    row = queries.stateRow();
    seen = version;
    const sameHistory = before?.history === row.history;
    if (!sameHistory || before.node_version !== row.node_version) nodes.clear();
    if (!sameHistory || before.revision !== row.revision) summaries.clear();
    return row;
  }

  const known = (): StateRow => row ?? look();

  const view: PollView = {
    version: () =>
      translated(() => {
        const { history, revision, node_version } = known();
        return `${history} ${revision} ${node_version}`;
      }),
    commit: () =>
      translated(() => {
        known();
        return seen ?? 0;
      }),
    state: (part) =>
      translated(() => {
        const summary =
          summaries.get(part.id) ??
          queries.consistently(() =>
            queries.summary(part, part.domains === null ? known() : queries.stateRow()),
          );
        summaries.set(part.id, summary);
        return summary;
      }),
    node: (keyId) =>
      translated(() => {
        const found = nodes.get(keyId) ?? toPollingNode(node.get({ id: keyId }));
        if (found !== undefined) nodes.set(keyId, found);
        return found;
      }),
    endedKey: (keyId) => translated(() => toEndedKey(keyId, endedKey.get({ id: keyId }))),
    cursorKey: () => translated(() => known().cursor_key),
    digestAt: (revision) => translated(() => digestAt.get(revision)),
    changes: (part, revision, limit) =>
      translated(() =>
        queries.consistently(() => {
          // Count the rows that are read, not only those that this view gets: others cost time as well.
          if ((visited.get({ revision, limit: limit + 1 }) ?? 0) > limit) return undefined;
          const lines: string[] = [];
          for (const query of changes[part.role]) {
            lines.push(...query.all({ revision, names: namesOf(part), limit: limit + 1 - lines.length }));
            if (lines.length > limit) return undefined;
          }
          return { summary: queries.summary(part, queries.stateRow()), lines };
        }),
      ),
  };

  return {
    now: () =>
      translated(() => {
        look();
        return view;
      }),
    // A look takes file locks, a third of a poll's own work. It happens after all requests of this turn have arrived,
    // so that each poll sees everything that was committed before it was sent.
    look() {
      nextLook ??= nextTurn().then(() => {
        nextLook = undefined;
        return translated(() => {
          look();
          return view;
        });
      });
      return nextLook;
    },
  };
}

function namesOf({ domains }: View): string | null {
  return domains === null ? null : JSON.stringify(domains);
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

/** SQLite builds the lines, so that a million rows never become a million objects. The text equals canonicalLine's. */
const DOMAIN_LINE = `'{"domain":"' || name || '"}' || char(10)`;
const USER_LINES: Record<NodeRole, string> = {
  mail: `'{"user":"' || local_part || '@' || name || '","password":"' || password_hash ||
    '","quota_mb":' || quota_mb || ',"mailbox":"' || mailbox || '"}' || char(10)`,
  mx: `'{"user":"' || local_part || '@' || name || '"}' || char(10)`,
};

/** Rows in the order of a delta: domains set, users set, users removed, domains removed. `names` null is all domains. */
function changeQueries(connection: Connection, role: NodeRole) {
  const ofView = (name: string) => `(@names IS NULL OR ${name} IN (SELECT value FROM json_each(@names)))`;
  // The + stops SQLite from scanning all removals of the kind instead of those after the revision.
  const removals = (kind: string, name: string) =>
    `SELECT '{"${kind}":"' || name || '","removed":true}' || char(10) FROM removals
     WHERE revision > @revision AND +kind = '${kind}' AND ${ofView(name)} LIMIT @limit`;
  return [
    `SELECT ${DOMAIN_LINE} FROM domains WHERE revision > @revision AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    `SELECT ${USER_LINES[role]} FROM users JOIN domains ON domains.id = users.domain_id
     WHERE users.revision > @revision AND active = 1 AND erase_after IS NULL AND ${ofView("name")} LIMIT @limit`,
    removals("user", "substr(name, instr(name, '@') + 1)"),
    removals("domain", "name"),
  ].map((text) =>
    connection.prepare<{ revision: number; names: string | null; limit: number }, string>(text).pluck(),
  );
}

/** Opens its own connection: a reader that holds one state must not delay any other. */
export function readState(path: string, view: View, since: number | undefined): Reading {
  const connection = openConnection(path, { readonly: true });
  try {
    connection.exec("BEGIN");
    const queries = new Queries(connection);
    const summary = queries.summary(view, queries.stateRow());
    const lines = () =>
      since === undefined ? pages(connection, view) : changePages(connection, view, since);
    return { summary, pages: lines, close: () => connection.close() };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** The whole state in row order, or domain by domain. Each page is one walk of one index. */
function* pages(connection: Connection, { role, domains }: View): Generator<string> {
  const domainLines = { line: served(DOMAIN_LINE), from: "domains" };
  const userLines = {
    line: served(USER_LINES[role], "active = 1"),
    from: "users JOIN domains ON domains.id = users.domain_id",
  };
  if (domains === null) {
    yield* walk(connection, { ...domainLines, key: "domains.id", first: 0 });
    yield* walk(connection, { ...userLines, key: "users.id", first: 0 });
    return;
  }
  for (const name of domains) yield* walk(connection, { ...domainLines, key: "name", first: "", name });
  for (const name of domains) yield* walk(connection, { ...userLines, key: "local_part", first: "", name });
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
  /** One domain's rows only. */
  name?: string;
}

function* walk(connection: Connection, { line, from, key, first, name }: Walk): Generator<string> {
  const ofDomain = name === undefined ? "" : "name = @name AND";
  const page = connection.prepare<
    { last: number | string; name: string | undefined },
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

function* changePages(connection: Connection, view: View, revision: number): Generator<string> {
  for (const query of changeQueries(connection, view.role)) {
    let page: string[] = [];
    for (const line of query.iterate({ revision, names: namesOf(view), limit: -1 })) {
      page.push(line);
      if (page.length < PAGE_ROWS) continue;
      yield page.join("");
      page = [];
    }
    yield page.join("");
  }
}
