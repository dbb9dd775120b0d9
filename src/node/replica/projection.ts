const sameKey = "m.domain = a.domain AND m.local = a.local";

/** The login that Postfix allows to send: none if nobody can log in. */
const login = "CASE WHEN m.password IS NULL THEN NULL ELSE m.login END";

const noted = `UPDATE addresses.meta SET (ready, role, history, revision) =
  (SELECT ready, role, history, revision FROM state.meta);`;

/** Makes Postfix's file equal to the state, by two set differences that leave right rows alone. */
export const wholeProjection: readonly string[] = [
  "DELETE FROM addresses.domain WHERE key NOT IN (SELECT key FROM state.domain);",
  `INSERT INTO addresses.domain SELECT key, name FROM state.domain WHERE true
    ON CONFLICT (key) DO UPDATE SET name = excluded.name WHERE name <> excluded.name;`,
  `DELETE FROM addresses.address AS a WHERE NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameKey});`,
  `INSERT INTO addresses.address SELECT m.domain, m.local, ${login}
    FROM state.mailbox m LEFT JOIN addresses.address a ON ${sameKey}
    WHERE a.local IS NULL OR a.login IS NOT ${login}
    ON CONFLICT (domain, local) DO UPDATE SET login = excluded.login;`,
  noted,
];

/** The same, only for the domains and mailboxes in the answer. */
export const changedProjection: readonly string[] = [
  `DELETE FROM addresses.domain WHERE key IN
    (SELECT name FROM temp.incoming_domain UNION SELECT unicode FROM temp.incoming_domain);`,
  `INSERT INTO addresses.domain SELECT d.key, d.name FROM temp.incoming_domain i
    JOIN state.domain d ON d.key IN (i.name, i.unicode) WHERE d.name = i.name;`,
  `DELETE FROM addresses.address AS a WHERE (domain, local) IN (SELECT domain, local FROM temp.incoming)
    AND NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE ${sameKey});`,
  `INSERT INTO addresses.address SELECT m.domain, m.local, ${login}
    FROM temp.incoming i CROSS JOIN state.mailbox m ON m.domain = i.domain AND m.local = i.local WHERE true
    ON CONFLICT (domain, local) DO UPDATE SET login = excluded.login WHERE login IS NOT excluded.login;`,
  noted,
];

export function transaction(statements: readonly string[]): string {
  return ["BEGIN IMMEDIATE;", ...statements, "COMMIT;"].join("\n");
}
