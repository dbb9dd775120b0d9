import type { View } from "../../src/sync/view.ts";
import { ALIAS_LINES, DOMAIN_ALIAS_LINE, DOMAIN_LINES, USER_LINES } from "./lines.ts";

/** One index's rows, in its order. */
export interface Walk {
  line: string;
  from: string;
  /** The column that orders the walk, and a value before all others. */
  key: string;
  first: number | string;
  /** One domain's rows only, or with null those of no domain. */
  name?: string | null;
}

const ALIASES_OF_ONE = "domains JOIN aliases ON domains.id = aliases.domain_id";

/** The walks through the whole state in row order, or domain by domain. */
export function* walksOf({ role, domains }: View): Generator<Walk> {
  const domainLines = { line: served(DOMAIN_LINES[role]), from: "domains" };
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
    yield { ...domainLines, key: "domains.id", first: 0 };
    yield { ...domainAliasLines, key: "domain_aliases.name", first: "" };
    yield { ...userLines, key: "users.id", first: 0 };
    yield { ...aliasLines, key: "aliases.id", first: 0 };
    return;
  }
  for (const name of domains) {
    yield { ...domainLines, key: "name", first: "", name };
    yield { ...domainAliasLines, key: "domain_aliases.name", first: "", name };
  }
  for (const name of domains) {
    yield { ...userLines, key: "local_part", first: "", name };
    yield { ...aliasLines, from: ALIASES_OF_ONE, key: "aliases.id", first: 0, name };
  }
  yield { ...aliasLines, key: "aliases.id", first: 0, name: null };
}

/** NULL for a row that nodes do not get. It counts for its page: else one page could pass over a million hidden rows. */
function served(line: string, condition = "true"): string {
  return `CASE WHEN erase_after IS NULL AND ${condition} THEN ${line} END`;
}

/** A query for a walk's next page of so many rows: its lines in one text, and the last key. */
export function pageQuery(
  { line, from, key, name }: Walk,
  { rows, ...parameters }: { rows: number; last: string; name: string },
): string {
  const ofDomain =
    name === undefined
      ? ""
      : name === null
        ? "aliases.domain_id IS NULL AND"
        : `domains.name = ${parameters.name} AND`;
  return `SELECT string_agg(line, '') AS lines, max(key) AS last FROM (
     SELECT ${line} AS line, ${key} AS key FROM ${from}
     WHERE ${ofDomain} ${key} > ${parameters.last} ORDER BY ${key} LIMIT ${rows}) AS page`;
}
