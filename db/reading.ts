import { setImmediate as nextTurn } from "node:timers/promises";
import { type Connection, openConnection, translated } from "./file.ts";
import type { PollingNode, PollReader, PollView, StateReading, StateSummary } from "./store.ts";

const PAGE_ROWS = 1000;

const SUMMARY = "SELECT history, revision, digest, domain_count, user_count FROM state";

interface SummaryRow {
  history: string;
  revision: number;
  digest: string;
  domain_count: number;
  user_count: number;
}

function toSummary(row: SummaryRow): StateSummary {
  const { history, revision, digest, domain_count, user_count } = row;
  return { history, revision, digest, counts: { domains: domain_count, users: user_count } };
}

/**
 * Polls are read with prepared statements, outside of Kysely, on a connection that never writes: data_version
 * then tells of every commit, the own process's too, and what was read stays valid until it moves.
 */
export function pollReader(connection: Connection): PollReader {
  const dataVersion = connection.prepare("PRAGMA data_version").pluck();
  const readSummary = connection.prepare<[], SummaryRow>(SUMMARY);
  const readNode = connection.prepare<[string], PollingNode>(
    "SELECT id, name, ip_address AS ipAddress, key_hash AS keyHash FROM nodes WHERE key_id = ?",
  );
  let seen: unknown;
  let summary: StateSummary | undefined;
  const nodes = new Map<string, PollingNode>();
  let nextLook: Promise<PollView> | undefined;

  function look(): void {
    const version = translated(() => dataVersion.get());
    if (version === seen) return;
    seen = version;
    summary = undefined;
    nodes.clear();
  }

  const view: PollView = {
    state() {
      if (summary === undefined) {
        const row = translated(() => readSummary.get());
        if (row === undefined) throw new Error("the state row is missing");
        summary = toSummary(row);
      }
      return summary;
    },
    node(keyId) {
      const known = nodes.get(keyId) ?? translated(() => readNode.get(keyId));
      if (known !== undefined) nodes.set(keyId, known);
      return known;
    },
  };

  return {
    state() {
      look();
      return view.state();
    },
    node(keyId) {
      look();
      return view.node(keyId);
    },
    // A look takes file locks, a third of a poll's own work. Looking when the turn's requests are all there,
    // not at the first of them, is what lets each poll see everything that was committed before it was sent.
    look() {
      nextLook ??= nextTurn().then(() => {
        nextLook = undefined;
        look();
        return view;
      });
      return nextLook;
    },
  };
}

/** Opens a connection of its own: a reader that is pinned to one state must not hold up any other. */
export function readState(path: string): StateReading {
  const connection = openConnection(path, { readonly: true });
  try {
    connection.exec("BEGIN");
    const row = connection.prepare<[], SummaryRow>(SUMMARY).get();
    if (row === undefined) throw new Error("the state row is missing");
    return { summary: toSummary(row), pages: () => pages(connection), close: () => connection.close() };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Built whole by SQLite: a million rows that never become a million objects. The text is canonicalLine's. */
const DOMAIN_PAGE = `
  SELECT group_concat('{"domain":"' || name || '"}' || char(10), '') AS lines, max(id) AS last
  FROM (SELECT id, name FROM domains WHERE id > ? ORDER BY id LIMIT ${PAGE_ROWS})`;

const USER_PAGE = `
  SELECT group_concat('{"user":"' || local_part || '@' || name || '","password":"' || password_hash ||
    '","quota_mb":' || quota_mb || ',"mailbox":"' || mailbox || '"}' || char(10), '') AS lines, max(id) AS last
  FROM (SELECT users.id, local_part, name, password_hash, quota_mb, mailbox
    FROM users JOIN domains ON domains.id = users.domain_id
    WHERE users.id > ? AND active = 1 ORDER BY users.id LIMIT ${PAGE_ROWS})`;

function* pages(connection: Connection): Generator<string> {
  for (const query of [DOMAIN_PAGE, USER_PAGE]) {
    const page = connection.prepare<[number], { lines: string | null; last: number | null }>(query);
    let last = 0;
    for (;;) {
      const row = translated(() => page.get(last));
      if (row === undefined || row.lines === null || row.last === null) break;
      yield row.lines;
      last = row.last;
    }
  }
}
