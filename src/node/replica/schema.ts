/** Raise it with each change of the tables or views. */
export const SCHEMA_VERSION = 5;

/** "M25M" and "M25A": a file with another id belongs to another program. */
export const stateId = 0x4d32354d;
export const addressesId = 0x4d323541;

/**
 * Fails ("integer overflow") while `ready` is 0: a daemon then answers with a temporary failure instead of "unknown". It is in
 * each column of a view's first branch, which comes before any row, and has no rows once the file holds a whole state.
 */
const GUARD = "abs(ready - 9223372036854775807 - 1)";

function view(name: string, columns: readonly string[], select: string): string {
  const guards = columns.map((column) => `${GUARD} AS ${column}`).join(", ");
  return `CREATE VIEW SCHEMA.${name} AS SELECT ${guards} FROM meta WHERE ready <> 1 UNION ALL ${select};`;
}

/** The domains and mailboxes with a sending limit of their own: they are read after each change. */
const SENDING_INDEXES = [
  "CREATE INDEX SCHEMA.domain_sending ON domain(key) WHERE sending IS NOT NULL;",
  "CREATE INDEX SCHEMA.mailbox_sending ON mailbox(domain) WHERE sending IS NOT NULL;",
];

/** What makes a state file of version 4 one of version 5; the addresses have not changed. */
export const stateUpgrade: readonly string[] = [
  "ALTER TABLE SCHEMA.domain ADD COLUMN sending TEXT;",
  "ALTER TABLE SCHEMA.mailbox ADD COLUMN sending TEXT;",
  ...SENDING_INDEXES,
];

/** The program's notes between polls, as JSON; see notes.ts. */
const noteTable =
  "CREATE TABLE SCHEMA.note(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;";

/**
 * The whole state of a node. `logins.db` on a mail node, for Dovecot's group; `node.db` on an mx, for nobody, and without
 * passwords. Each domain has a row for each form of its name, A-labels, and U-labels where these differ; and as many for each
 * of its domain aliases.
 *
 * An alias is in the table of mailboxes, so that losses.ts counts it like one: `~info` is the alias info@, `~` the
 * catch-all, and `~` of the domain "" the alias of every domain. `~~` is the domain alias of this name.
 */
export const stateSchema: readonly string[] = [
  `CREATE TABLE SCHEMA.meta(one INTEGER PRIMARY KEY CHECK (one = 1), ready INTEGER NOT NULL DEFAULT 0,
    role TEXT NOT NULL DEFAULT '', history TEXT NOT NULL DEFAULT '', revision INTEGER NOT NULL DEFAULT 0,
    digest TEXT NOT NULL DEFAULT '', cursor TEXT NOT NULL DEFAULT '', domains INTEGER NOT NULL DEFAULT 0,
    users INTEGER NOT NULL DEFAULT 0, aliases INTEGER NOT NULL DEFAULT 0, domain_aliases INTEGER NOT NULL DEFAULT 0,
    since TEXT NOT NULL DEFAULT '', mail_root TEXT NOT NULL DEFAULT '',
    inode TEXT NOT NULL DEFAULT '') STRICT;`,
  "INSERT INTO SCHEMA.meta(one) VALUES (1);",
  // listed: the server has it. A domain that it no longer has stays while mailboxes in it are withheld.
  // alias: the domain alias of which the key is a form.
  // sending: the domain's sending limit as JSON; NULL without one.
  `CREATE TABLE SCHEMA.domain(key TEXT PRIMARY KEY, name TEXT NOT NULL, listed INTEGER NOT NULL, alias TEXT, sending TEXT)
    STRICT, WITHOUT ROWID;`,
  // withheld: the revision from which on the server no longer has the mailbox. Without a password nobody can log in.
  // login: the revision of its password; NULL if the mailbox was removed by name. The login name that Postfix sees contains
  // it, so that an open connection cannot send any more once the password has changed.
  // apps: the hash of each app password by its selector, as JSON; NULL without any.
  // leads: an alias's targets as a JSON array, or on an mx whether it has any; for a domain alias its domain and its
  // U-labels. kept: the last targets of an alias that has none any more: those that are withheld still get its mail.
  `CREATE TABLE SCHEMA.mailbox(domain TEXT, local TEXT, password TEXT, quota_mb INTEGER, id TEXT, withheld INTEGER,
    login INTEGER, apps TEXT, leads TEXT, send_as INTEGER, kept TEXT, sending TEXT, PRIMARY KEY (domain, local))
    STRICT, WITHOUT ROWID;`,
  ...SENDING_INDEXES,
  "CREATE INDEX SCHEMA.mailbox_withheld ON mailbox(withheld) WHERE withheld IS NOT NULL;",
  "CREATE INDEX SCHEMA.domain_unlisted ON domain(name) WHERE listed = 0;",
  "CREATE INDEX SCHEMA.domain_alias ON domain(alias) WHERE alias IS NOT NULL;",
  "CREATE INDEX SCHEMA.mailbox_kept ON mailbox(domain) WHERE kept IS NOT NULL;",
  // Mailboxes that are no longer served, by the counted hour in which that was; see losses.ts.
  `CREATE TABLE SCHEMA.gone(domain TEXT, local TEXT, hour INTEGER NOT NULL, PRIMARY KEY (domain, local))
    STRICT, WITHOUT ROWID;`,
  "CREATE INDEX SCHEMA.gone_hour ON gone(hour);",
  "CREATE TABLE SCHEMA.peak(hour INTEGER PRIMARY KEY, users INTEGER NOT NULL) STRICT;",
  noteTable,
  // A mailbox has a row for its own password, with no selector, and one for each app password.
  view(
    "dovecot_login",
    ["local", "domain", "user", "sender", "password", "selector"],
    `SELECT m.local, d.key, m.local || '@' || m.domain, m.local || '@' || m.domain || '#' || m.login, m.password, ''
      FROM domain d JOIN mailbox m ON m.domain = d.name WHERE m.password IS NOT NULL
    UNION ALL SELECT m.local, d.key, m.local || '@' || m.domain, m.local || '@' || m.domain || '#' || m.login, a.value, a.key
      FROM domain d JOIN mailbox m ON m.domain = d.name CROSS JOIN json_each(m.apps) a
      WHERE m.password IS NOT NULL AND m.apps IS NOT NULL`,
  ),
  view(
    "dovecot_user",
    ["local", "domain", "user", "home", "quota_mb"],
    `SELECT m.local, d.key, m.local || '@' || m.domain,
      (SELECT mail_root FROM meta) || '/' || substr(m.id, 1, 2) || '/' || m.id, m.quota_mb
      FROM domain d JOIN mailbox m ON m.domain = d.name WHERE m.id IS NOT NULL`,
  ),
  view("dovecot_mailbox", ["user"], "SELECT local || '@' || domain FROM mailbox WHERE id IS NOT NULL"),
];

/**
 * The file that Postfix reads: a projection of the state without passwords, which can be made from it again. It asks the tables about
 * domains, mailboxes and aliases, with a guard in each query of deploy/: it prepares each statement anew, and a view makes that dearer.
 */
export const addressesSchema: readonly string[] = [
  `CREATE TABLE SCHEMA.meta(one INTEGER PRIMARY KEY CHECK (one = 1), ready INTEGER NOT NULL DEFAULT 0,
    role TEXT NOT NULL DEFAULT '', history TEXT NOT NULL DEFAULT '', revision INTEGER NOT NULL DEFAULT 0,
    inode TEXT NOT NULL DEFAULT '') STRICT;`,
  "INSERT INTO SCHEMA.meta(one) VALUES (1);",
  "CREATE TABLE SCHEMA.domain(key TEXT PRIMARY KEY, name TEXT NOT NULL, alias TEXT) STRICT, WITHOUT ROWID;",
  `CREATE TABLE SCHEMA.address(domain TEXT, local TEXT, login INTEGER, PRIMARY KEY (domain, local))
    STRICT, WITHOUT ROWID;`,
  // local is "" for a catch-all, domain too for the alias of every domain. leads: a JSON array; on an mx of no addresses.
  `CREATE TABLE SCHEMA.alias(domain TEXT, local TEXT, leads TEXT NOT NULL, send_as INTEGER, PRIMARY KEY (domain, local))
    STRICT, WITHOUT ROWID;`,
  noteTable,
  // A domain's U-label form, which Postfix rewrites to the stored form.
  view("postfix_name", ["key", "name"], "SELECT key, name FROM domain WHERE key <> name"),
  view(
    "postfix_sender",
    ["local", "domain", "value"],
    `SELECT a.local, d.key, a.local || '@' || a.domain || '#' || a.login FROM domain d JOIN address a ON a.domain = d.name
      WHERE a.login IS NOT NULL
    UNION ALL SELECT l.local, d.key, a.local || '@' || a.domain || '#' || a.login
      FROM domain d JOIN alias l ON l.domain = d.name CROSS JOIN json_each(l.leads) t CROSS JOIN address a
      WHERE l.send_as = 1 AND l.local <> '' AND a.domain = substr(t.value, instr(t.value, '@') + 1)
        AND a.local = substr(t.value, 1, instr(t.value, '@') - 1) AND a.login IS NOT NULL
        AND (l.domain, l.local) IS NOT (a.domain, a.local)`,
  ),
];

/** The answer's records, and their effect on mailboxes. These tables belong to one connection and end with it. */
export const incomingTables = `
CREATE TEMP TABLE incoming_domain(name TEXT PRIMARY KEY, unicode TEXT, sending TEXT, removed INTEGER, line INTEGER)
  WITHOUT ROWID;
CREATE TEMP TABLE incoming(domain TEXT, local TEXT, password TEXT, quota_mb INTEGER, id TEXT, apps TEXT,
  leads TEXT, send_as INTEGER, sending TEXT, removed INTEGER, line INTEGER, PRIMARY KEY (domain, local)) WITHOUT ROWID;
CREATE TEMP TABLE lost(domain TEXT, local TEXT, PRIMARY KEY (domain, local)) WITHOUT ROWID;
CREATE TEMP TABLE renamed(domain TEXT, local TEXT, PRIMARY KEY (domain, local)) WITHOUT ROWID;
CREATE TEMP TABLE ended(domain TEXT, local TEXT, PRIMARY KEY (domain, local)) WITHOUT ROWID;`;

/** The statements that create the tables in an empty file, or upgrade them, in one transaction. */
export function creation(schema: string, id: number, statements: readonly string[]): string {
  return [
    "BEGIN IMMEDIATE;",
    ...statements.map((statement) => statement.replaceAll("SCHEMA", schema)),
    `PRAGMA ${schema}.application_id = ${id};`,
    `PRAGMA ${schema}.user_version = ${SCHEMA_VERSION};`,
    "COMMIT;",
  ].join("\n");
}
