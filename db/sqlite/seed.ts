import { randomBytes } from "node:crypto";
import { MailError } from "../../src/mail/error.ts";
import { DEFAULT_QUOTA_MB } from "../../src/mail/quota.ts";
import { StateDigest } from "../../src/sync/digest.ts";
import { type Connection, openConnection } from "./connection.ts";
import { unavailable } from "./errors.ts";
import { openStore } from "./store.ts";

/** Users per insertion. */
const BATCH = 1000;
/** Users of one domain in a row, before those of the next: real rows of a domain are not side by side either. */
const RUN = 20;

export interface Seed {
  domains: number;
  users: number;
  /** Each leads to one mailbox of its domain; no more than mailboxes. */
  aliases?: number;
  /** The stored hash: one for all users, or one for each. */
  passwordHash: string | (() => string);
  at: string;
  /** Called after each batch of mailboxes. */
  progress?: (users: number) => void;
}

/**
 * Fills a new database, created as openStore creates one, with the state that as many calls of add-domain, add-user and
 * set-alias would leave, but with a single audit entry. It is one transaction.
 *
 * @throws MailError domain_exists when the database has had domains before; unavailable
 */
export async function seedDatabase(path: string, seed: Seed): Promise<void> {
  await openStore(path, { create: true }).close();
  const connection = openConnection(path, { readonly: false });
  try {
    connection.pragma("cache_size = -400000");
    connection.transaction(() => fill(connection, seed)).immediate();
  } catch (error) {
    throw unavailable(error, path) ?? error;
  } finally {
    connection.close();
  }
}

function fill(connection: Connection, seed: Seed): void {
  if (connection.prepare("SELECT revision FROM state").pluck().get() !== 0) {
    throw new MailError(
      "domain_exists",
      "This database has domains already, or has had some.",
      "Nothing was changed. Name a new file with --db FILE.",
    );
  }
  const domains = addDomains(connection, seed);
  addUsers(connection, seed, domains);
  addAliases(connection, seed, domains);
  const finish = connection.prepare(
    "UPDATE domains SET user_count = ?, alias_count = ?, digest = ?, mx_digest = ? WHERE id = ?",
  );
  const whole = { mail: new StateDigest(), mx: new StateDigest() };
  for (const { id, userCount, aliasCount, mail, mx } of domains) {
    finish.run(userCount, aliasCount, mail.toString(), mx.toString(), id);
    whole.mail.addDigest(mail);
    whole.mx.addDigest(mx);
  }
  const { aliases = 0 } = seed;
  const revision = seed.domains + seed.users + aliases;
  connection
    .prepare(
      "UPDATE state SET revision = ?, digest = ?, mx_digest = ?, domain_count = ?, user_count = ?, alias_count = ?",
    )
    .run(revision, whole.mail.toString(), whole.mx.toString(), seed.domains, seed.users, aliases);
  connection
    .prepare("INSERT INTO revisions (revision, digest, at) VALUES (?, ?, ?)")
    .run(revision, whole.mail.toString(), seed.at);
  connection
    .prepare(
      "INSERT INTO audit_log (at, principal, door, tool, arguments, revision) VALUES (?, 'operator', 'cli', 'seed', ?, ?)",
    )
    .run(seed.at, JSON.stringify({ domains: seed.domains, users: seed.users }), revision);
}

/** A domain that is being filled. */
interface SeedDomain {
  id: number;
  name: string;
  userCount: number;
  aliasCount: number;
  mail: StateDigest;
  mx: StateDigest;
}

function addDomains(connection: Connection, seed: Seed): SeedDomain[] {
  const add = connection.prepare(
    `INSERT INTO domains (id, name, user_count, inactive_user_count, digest, mx_digest, revision, created_at)
     VALUES (?, ?, 0, 0, '', '', ?, ?)`,
  );
  return Array.from({ length: seed.domains }, (_, index) => {
    const name = `domain${numbered(index + 1, seed.domains)}.example`;
    add.run(index + 1, name, index + 1, seed.at);
    const record = { domain: name };
    return {
      id: index + 1,
      name,
      userCount: 0,
      aliasCount: 0,
      mail: new StateDigest().add(record),
      mx: new StateDigest().add(record),
    };
  });
}

function addUsers(connection: Connection, seed: Seed, domains: readonly SeedDomain[]): void {
  const { users, passwordHash, at, progress } = seed;
  const add = connection.prepare(
    `INSERT INTO users (domain_id, local_part, mailbox, password_hash, quota_mb, active, revision, created_at, updated_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, ${DEFAULT_QUOTA_MB}, 1, :revision + key, :at, :at
     FROM json_each(:rows)`,
  );
  const run = Math.max(1, Math.min(RUN, Math.floor(users / seed.domains)));
  for (let first = 0; first < users; first += BATCH) {
    // One call for all ids and one statement for all rows: a call for each would take most of the time.
    const ids = randomBytes(8 * BATCH).toString("hex");
    const rows: [domainId: number, localPart: string, mailbox: string, password: string][] = [];
    for (let index = first; index < Math.min(first + BATCH, users); index += 1) {
      const domain = domains[Math.floor(index / run) % domains.length];
      if (domain === undefined) throw new RangeError("users need a domain");
      const mailbox = ids.slice(16 * rows.length, 16 * (rows.length + 1));
      domain.userCount += 1;
      const localPart = `user${numbered(domain.userCount, users)}`;
      const user = `${localPart}@${domain.name}`;
      const password = typeof passwordHash === "string" ? passwordHash : passwordHash();
      domain.mx.add({ user });
      domain.mail.add({
        user,
        password,
        quota_mb: DEFAULT_QUOTA_MB,
        mailbox,
      });
      rows.push([domain.id, localPart, mailbox, password]);
    }
    add.run({ rows: JSON.stringify(rows), revision: seed.domains + first + 1, at });
    progress?.(first + rows.length);
  }
}

function addAliases(connection: Connection, seed: Seed, domains: readonly SeedDomain[]): void {
  const { users, aliases = 0, at } = seed;
  const add = connection.prepare(
    `INSERT INTO aliases (id, domain_id, local_part, send_as, live, revision, created_at, updated_at)
     VALUES (?, ?, ?, 0, ?, ?, ?, ?)`,
  );
  const addTarget = connection.prepare("INSERT INTO alias_targets VALUES (?, ?, ?, 'own')");
  const addReach = connection.prepare("INSERT INTO alias_reach VALUES (?, ?, ?)");
  for (let index = 0; index < aliases; index += 1) {
    const domain = domains[index % domains.length];
    if (domain === undefined) throw new RangeError("aliases need a domain");
    domain.aliasCount += 1;
    const localPart = `alias${numbered(domain.aliasCount, users)}`;
    const target = `user${numbered(domain.aliasCount, users)}`;
    const alias = `${localPart}@${domain.name}`;
    const targets = [`${target}@${domain.name}`];
    domain.mail.add({ alias, targets, send_as: false });
    domain.mx.add({ alias, live: true });
    const revision = seed.domains + users + index + 1;
    add.run(index + 1, domain.id, localPart, JSON.stringify(targets), revision, at, at);
    addTarget.run(index + 1, domain.name, target);
    for (const local of [localPart, target]) addReach.run(index + 1, domain.name, local);
  }
}

/** Pads with zeros, so that alphabetical order is numerical order. */
function numbered(number: number, most: number): string {
  return String(number).padStart(String(most).length, "0");
}
