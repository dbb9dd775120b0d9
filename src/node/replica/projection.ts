const sameKey = "m.domain = a.domain AND m.local = a.local";

/** The login that Postfix allows to send: none if nobody can log in. */
const login = "CASE WHEN m.password IS NULL THEN NULL ELSE m.login END";

/** The SQL condition for a row of an alias, of one domain or of every domain. */
const isAliasOrShared = (row: string) => `${row}.local >= '~' AND ${row}.local < '~~'`;
const isMailbox = "m.local < '~'";

/** An alias that leads nowhere any more still leads to its mailboxes that are withheld. An mx knows none of them by name. */
const leads = `CASE WHEN m.kept IS NULL OR m.leads NOT IN ('[]', 'false') THEN
    CASE m.leads WHEN 'true' THEN '["mailbox node"]' WHEN 'false' THEN '[]' ELSE m.leads END
  WHEN m.leads = 'false' THEN iif(EXISTS (SELECT 1 FROM state.mailbox w WHERE w.withheld IS NOT NULL), '["mailbox node"]', '[]')
  ELSE ifnull((SELECT json_group_array(value) FROM json_each(m.kept) CROSS JOIN state.mailbox w
    ON w.domain = substr(value, instr(value, '@') + 1) AND w.local = substr(value, 1, instr(value, '@') - 1)
    WHERE w.withheld IS NOT NULL), '[]') END`;

const sameAlias = "m.domain = l.domain AND m.local = '~' || l.local";

/** Copies the state's data about itself. */
const copyMeta = `UPDATE addresses.meta SET (ready, role, history, revision) =
  (SELECT ready, role, history, revision FROM state.meta);`;

const UPSERT_ALIAS = `ON CONFLICT (domain, local) DO UPDATE SET leads = excluded.leads, send_as = excluded.send_as
    WHERE (leads, send_as) IS NOT (excluded.leads, excluded.send_as);`;

/** Makes Postfix's file equal to the state, by two set differences that leave right rows alone. */
export const wholeProjection: readonly string[] = [
  "DELETE FROM addresses.domain WHERE key NOT IN (SELECT key FROM state.domain);",
  `INSERT INTO addresses.domain SELECT key, name, alias FROM state.domain WHERE true
    ON CONFLICT (key) DO UPDATE SET name = excluded.name, alias = excluded.alias
    WHERE (name, alias) IS NOT (excluded.name, excluded.alias);`,
  `DELETE FROM addresses.address AS a WHERE NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameKey});`,
  `INSERT INTO addresses.address SELECT m.domain, m.local, ${login}
    FROM state.mailbox m LEFT JOIN addresses.address a ON ${sameKey}
    WHERE ${isMailbox} AND (a.local IS NULL OR a.login IS NOT ${login})
    ON CONFLICT (domain, local) DO UPDATE SET login = excluded.login;`,
  `DELETE FROM addresses.alias AS l WHERE NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameAlias});`,
  `INSERT INTO addresses.alias SELECT m.domain, substr(m.local, 2), ${leads}, m.send_as
    FROM state.mailbox m WHERE ${isAliasOrShared("m")} ${UPSERT_ALIAS}`,
  copyMeta,
];

/** The same, only for the domains and mailboxes in the answer. */
export const changedProjection: readonly string[] = [
  `DELETE FROM addresses.domain WHERE key IN
    (SELECT name FROM temp.incoming_domain UNION SELECT unicode FROM temp.incoming_domain);`,
  `DELETE FROM addresses.domain WHERE alias IN (SELECT domain FROM temp.incoming WHERE local = '~~');`,
  `INSERT INTO addresses.domain SELECT d.key, d.name, d.alias FROM temp.incoming_domain i
    CROSS JOIN state.domain d ON d.key IN (i.name, i.unicode) WHERE d.name = i.name;`,
  `INSERT OR IGNORE INTO addresses.domain SELECT d.key, d.name, d.alias FROM temp.incoming i
    CROSS JOIN state.domain d ON d.alias = i.domain WHERE i.local = '~~';`,
  `DELETE FROM addresses.address AS a WHERE (domain, local) IN (SELECT domain, local FROM temp.incoming)
    AND NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameKey});`,
  `INSERT INTO addresses.address SELECT m.domain, m.local, ${login}
    FROM temp.incoming i CROSS JOIN state.mailbox m ON m.domain = i.domain AND m.local = i.local WHERE ${isMailbox}
    ON CONFLICT (domain, local) DO UPDATE SET login = excluded.login WHERE login IS NOT excluded.login;`,
  `DELETE FROM addresses.alias AS l
    WHERE (domain, local) IN (SELECT domain, substr(local, 2) FROM temp.incoming i WHERE ${isAliasOrShared("i")}) AND NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameAlias});`,
  `INSERT INTO addresses.alias SELECT m.domain, substr(m.local, 2), ${leads}, m.send_as
    FROM temp.incoming i CROSS JOIN state.mailbox m ON m.domain = i.domain AND m.local = i.local
    WHERE ${isAliasOrShared("m")} ${UPSERT_ALIAS}`,
  copyMeta,
];

export function transaction(statements: readonly string[]): string {
  return ["BEGIN IMMEDIATE;", ...statements, "COMMIT;"].join("\n");
}
