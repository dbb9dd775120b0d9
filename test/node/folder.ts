/** A node's folder, and the daemons' look-ups in it. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { onTestFinished } from "vitest";
import { shipped } from "../mail/shipped.ts";
import { memoryFolder } from "../support/leftovers.ts";

/** A folder of this test's own, in memory if possible, where fsync costs nothing. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(memoryFolder() ?? tmpdir(), "m25-node-"));
  // Other users of the machine, the daemons' or a test's, may pass.
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function outFolder(): string {
  const out = join(temporaryFolder(), "out");
  mkdirSync(out, { mode: 0o711 });
  return out;
}

/** The rows of a statement, as text; or `fails` if a daemon would get an error. */
export function ask(file: string, statement: string): string[] | "fails" {
  if (!existsSync(file)) return "fails";
  // In this process: a start of sqlite3 for each look-up took most of these tests' processor time.
  let database: Database.Database | undefined;
  try {
    database = new Database(file, { readonly: true });
    const rows = database.prepare<[], Array<string | number | null>>(statement).raw().all();
    return rows.map((row) => row.map((value) => value ?? "").join("|"));
  } catch {
    return "fails";
  } finally {
    database?.close();
  }
}

const split = (address: string): [local: string, domain: string] => {
  const at = address.lastIndexOf("@");
  return [address.slice(0, at), address.slice(at + 1)];
};

function where(address: string): string {
  const [local, domain] = split(address);
  return `WHERE local = '${local}' AND domain = '${domain}'`;
}

/** Asks as a file in deploy/ does: sqlite_table(5). */
function askPostfix(out: string, name: string, key: string): string[] | "fails" {
  const [, query = ""] = shipped(name).split("query = ");
  const [local, domain] = split(key);
  const parts: Readonly<Record<string, string>> = { s: key, u: local, d: domain };
  return ask(
    join(out, "addresses.db"),
    query.replaceAll(/%([sud])/g, (_, letter) => parts[letter] ?? ""),
  );
}

/** The queries of the files in deploy/. */
export const daemons = {
  login: (out: string, address: string) =>
    ask(
      join(out, "logins.db"),
      `SELECT user || ' ' || password FROM dovecot_login ${where(address)} AND selector = ''`,
    ),
  home: (out: string, address: string) =>
    ask(
      join(out, "logins.db"),
      `SELECT user || ' ' || home || ' ' || quota_mb FROM dovecot_user ${where(address)}`,
    ),
  users: (out: string) => ask(join(out, "logins.db"), "SELECT user FROM dovecot_mailbox"),
  domain: (out: string, domain: string) => askPostfix(out, "m25-domains.cf", domain),
  mailbox: (out: string, address: string) => askPostfix(out, "m25-mailboxes.cf", address),
  /** The addresses that get an alias's mail; none for a mailbox or an unknown address. */
  leads: (out: string, address: string) => askPostfix(out, "m25-aliases.cf", address),
  name: (out: string, domain: string) =>
    ask(join(out, "addresses.db"), `SELECT name FROM postfix_name WHERE key = '${domain}'`),
  sender: (out: string, address: string) => askPostfix(out, "m25-senders.cf", address),
};

/** The served state, sorted: addresses that Postfix accepts, those that can log in, and domains. */
export function served(out: string): { addresses: string[]; logins: string[]; domains: string[] } {
  const rows = (file: string, statement: string): string[] => {
    const found = ask(join(out, file), statement);
    if (found === "fails") throw new Error(`${file} fails`);
    return found.sort();
  };
  return {
    addresses: rows("addresses.db", "SELECT local || '@' || domain FROM address"),
    logins: existsSync(join(out, "logins.db"))
      ? rows("logins.db", "SELECT user FROM dovecot_login WHERE local || '@' || domain = user")
      : [],
    domains: rows("addresses.db", "SELECT key FROM domain"),
  };
}

/** The served aliases of a mail node and its domain aliases, as the server's records have them, by name. */
export function servedAliases(out: string): unknown[] {
  const rows = (statement: string): unknown[] => {
    const found = ask(join(out, "addresses.db"), statement);
    if (found === "fails") throw new Error("addresses.db fails");
    return found.map((row) => JSON.parse(row));
  };
  return [
    ...rows(`SELECT json_object('alias', local || '@' || domain, 'targets', json(leads),
      'send_as', json(iif(send_as, 'true', 'false'))) FROM alias ORDER BY local || '@' || domain`),
    ...rows("SELECT json_object('domain_alias', key, 'of', name) FROM domain WHERE alias = key ORDER BY key"),
  ];
}
