import type { Header } from "../../sync/answer.ts";
import type { NodeRole } from "../../sync/records.ts";
import { type Ledger, type Loss, type Thresholds, WINDOW } from "./losses.ts";
import type { Changes } from "./notes.ts";
import type { Replica } from "./replica.ts";
import type { Sqlite } from "./sqlite.ts";

export interface ApplyOptions {
  thresholds: Thresholds;
  /** The server's acceptance of removals: acceptance.ts. */
  accepted?: string | undefined;
  mailRoot: string;
  /** Milliseconds since 1970. */
  now: number;
  /** Set to undo everything at the end; receives the lines of the plan. */
  dryRun?: ((line: string) => void) | undefined;
}

/** Keys of each kind that are looked up after a change. */
export const SAMPLE = 5;

/** An answer that is being applied. */
export interface Change {
  header: Header;
  ledger: Ledger;
  options: ApplyOptions;
  /** False if another history begins. */
  known: boolean;
  /** True if history and role are the same as before: a mailbox that is gone was then removed by name. */
  byName: boolean;
  /** Removals up to this revision were accepted. */
  limit: number;
  /** Keys of earlier changes that look-ups have not confirmed. */
  unproved: Changes | undefined;
}

interface Additions {
  added: number;
  changed: number;
  renamed: number;
  addedDomains: number;
}

type Counted = Loss & Additions;

export interface Comparison extends Additions {
  loss: Loss;
  sample: Changes;
}

/** The SQL condition for a row of an alias of one domain; see schema.ts. */
export const isAlias = (table: string): string =>
  `${table}.local >= '~' AND ${table}.local < '~~' AND ${table}.domain <> ''`;

/** The address to look an alias up by; for a catch-all one that nobody has. */
export const ALIAS_KEY = "iif(i.local = '~', 'm25-mail-nobody', substr(i.local, 2)) || '@' || i.domain";

/** The alias's name for people. The one without a domain is that of every domain. */
export const aliasName = (table: string): string =>
  `iif(${table}.domain = '', 'postmaster@ and abuse@ of every domain', substr(${table}.local, 2) || '@' || ${table}.domain)`;

export const SAME = "m.domain = i.domain AND m.local = i.local";

/** Fills temp.lost, temp.renamed and temp.ended, and counts. */
export async function compare({ db }: Replica, change: Change): Promise<Comparison> {
  const { header, ledger, known, limit } = change;
  const whole = header.kind === "snapshot";
  const recent = `hour > ${ledger.hours.count - WINDOW}`;
  const back = whole
    ? `state.mailbox m INDEXED BY mailbox_withheld CROSS JOIN temp.incoming i ON ${SAME}`
    : `temp.incoming i CROSS JOIN state.mailbox m ON ${SAME}`;
  const goneBack = whole
    ? "EXISTS (SELECT 1 FROM temp.incoming i WHERE i.domain = gone.domain AND i.local = gone.local)"
    : "(domain, local) IN (SELECT domain, local FROM temp.incoming WHERE removed = 0)";
  const statements = [
    "DELETE FROM temp.lost;\nDELETE FROM temp.renamed;\nDELETE FROM temp.ended;",
    // In another history revisions mean something else.
    known ? "" : `UPDATE state.mailbox SET withheld = ${header.revision} WHERE withheld IS NOT NULL;`,
    `DELETE FROM state.gone WHERE NOT ${recent} OR ${goneBack};`,
    `DELETE FROM state.peak WHERE NOT ${recent};`,
    `INSERT INTO temp.ended SELECT i.domain, i.local FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND (m.password, m.quota_mb, m.id, m.apps, m.leads, m.send_as)
        IS NOT (i.password, i.quota_mb, i.id, i.apps, i.leads, i.send_as);`,
    whole
      ? `INSERT INTO temp.lost SELECT m.domain, m.local FROM state.mailbox m LEFT JOIN temp.incoming i ON ${SAME}
          WHERE m.withheld IS NULL AND i.local IS NULL;`
      : `INSERT INTO temp.lost SELECT m.domain, m.local FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME}
          WHERE i.removed = 1 AND m.withheld IS NULL;`,
    // A mailbox that has another address now is not lost.
    `INSERT INTO temp.renamed SELECT domain, local FROM temp.lost CROSS JOIN state.mailbox USING (domain, local)
      WHERE id IN (SELECT id FROM temp.incoming WHERE removed = 0);`,
    "DELETE FROM temp.lost WHERE (domain, local) IN (SELECT domain, local FROM temp.renamed);",
    `CREATE TEMP TABLE back AS SELECT m.domain, m.local, m.withheld FROM ${back}
      WHERE m.withheld IS NOT NULL AND i.removed = 0;`,
  ];
  await db.run(statements.join("\n"));
  const counted = await db.value<Counted>(`SELECT json_object(
    'served', (SELECT users + aliases + domain_aliases FROM state.meta) + (SELECT count(*) FROM state.mailbox WHERE withheld IS NOT NULL),
    'gone', (SELECT count(*) FROM state.gone), 'peak', (SELECT ifnull(max(users), 0) FROM state.peak),
    'fresh', (SELECT count(*) FROM temp.lost), 'renamed', (SELECT count(*) FROM temp.renamed),
    'withheld', (SELECT count(*) FROM state.mailbox WHERE withheld IS NOT NULL) - (SELECT count(*) FROM temp.back),
    'accepted', (SELECT count(*) FROM state.mailbox WHERE withheld <= ${limit})
      - (SELECT count(*) FROM temp.back WHERE withheld <= ${limit}),
    'changed', (SELECT count(*) FROM temp.ended),
    'added', (SELECT count(*) FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND m.local IS NULL),
    'addedDomains', (SELECT count(*) FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
      WHERE i.removed = 0 AND d.key IS NULL));
DROP TABLE temp.back;`);
  const { added, changed, renamed, addedDomains, ...loss } = counted as Counted;
  if (header.revision <= limit) loss.accepted += loss.fresh;
  return { loss, added, changed, renamed, addedDomains, sample: await sampleOf(db) };
}

/** Some added keys, taken before they are applied. */
async function sampleOf(db: Sqlite): Promise<Changes> {
  const users =
    await db.run(`SELECT i.local || '@' || i.domain FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
    WHERE i.removed = 0 AND m.local IS NULL AND i.local < '~' LIMIT ${SAMPLE};`);
  const aliases = await db.run(`SELECT ${ALIAS_KEY} FROM temp.incoming i
    WHERE i.removed = 0 AND ${isAlias("i")} AND i.leads NOT IN ('[]', 'false') LIMIT ${SAMPLE};`);
  const domains =
    await db.run(`SELECT i.name FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
    WHERE i.removed = 0 AND d.key IS NULL LIMIT ${SAMPLE};
    SELECT domain FROM temp.incoming WHERE removed = 0 AND local = '~~' LIMIT ${SAMPLE};`);
  return {
    domains: { added: domains, removed: [] },
    users: { added: users, removed: [] },
    aliases: { added: aliases, removed: [] },
  };
}

/** Prints the plan in plain lines. */
export async function describePlan(
  { db }: Replica,
  role: NodeRole,
  print: (line: string) => void,
): Promise<void> {
  const entry = (table: string): string => `CASE WHEN ${table}.local < '~'
      THEN 'user ' || ${table}.local || '@' || ${table}.domain
    WHEN ${table}.local = '~~' THEN 'domain alias ' || ${table}.domain
    ELSE 'alias ' || ${aliasName(table)} END`;
  await db.run(
    `SELECT 'add domain ' || i.name FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
      WHERE i.removed = 0 AND d.key IS NULL;
    SELECT 'add ' || ${entry("i")} FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND m.local IS NULL;
    SELECT 'change ' || ${entry("i")} || ': ' || substr(
        CASE WHEN m.password IS NOT i.password THEN ', new password' ELSE '' END
        || CASE WHEN m.quota_mb IS NOT i.quota_mb THEN ', quota ' || ifnull(m.quota_mb, 'unknown') || ' to ' || i.quota_mb || ' MiB' ELSE '' END
        || CASE WHEN m.id IS NOT i.id THEN ', new mailbox' ELSE '' END
        || CASE WHEN m.apps IS NOT i.apps THEN ', new app passwords' ELSE '' END
        || CASE WHEN (m.leads, m.send_as) IS NOT (i.leads, i.send_as) THEN ', new targets' ELSE '' END, 3)
      FROM temp.ended e CROSS JOIN temp.incoming i ON i.domain = e.domain AND i.local = e.local
      CROSS JOIN state.mailbox m ON ${SAME} WHERE i.removed = 0;
    SELECT 'remove ' || ${entry("l")} FROM (SELECT * FROM temp.lost UNION SELECT * FROM temp.renamed) l;
    SELECT 'end open sessions of ' || e.local || '@' || e.domain FROM (SELECT * FROM temp.ended UNION SELECT * FROM temp.lost
        UNION SELECT * FROM temp.renamed) e
      WHERE '${role}' = 'mail' AND e.local < '~';`,
    (lines) => lines.forEach(print),
  );
}
