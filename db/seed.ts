import { randomBytes } from "node:crypto";
import { MailError } from "../src/mail/error.ts";
import { DEFAULT_QUOTA_MB } from "../src/mail/quota.ts";
import { StateDigest } from "../src/sync/digest.ts";
import { type Connection, openConnection, unavailable } from "./file.ts";
import { openStore } from "./sqlite.ts";

/** Users that are inserted at once. */
const BATCH = 1000;

export interface Seed {
  domains: number;
  users: number;
  /** The stored form of the one password that all of them have. */
  passwordHash: string;
  at: string;
}

/**
 * Fills a new database, created as openStore creates one, with what as many calls of add-domain and add-user
 * would have left, but for their audit entries, of which there is one. All or nothing: one transaction.
 *
 * @throws MailError domain_exists when the database has had domains before; unavailable
 */
export async function seedDatabase(path: string, seed: Seed): Promise<void> {
  await openStore(path, { create: true }).close();
  const connection = openConnection(path, { readonly: false });
  try {
    connection.pragma("cache_size = -200000");
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
  const digests = addDomains(connection, seed);
  addUsers(connection, seed, digests);
  const finish = connection.prepare("UPDATE domains SET digest = ? WHERE id = ?");
  const whole = new StateDigest();
  digests.forEach((digest, index) => {
    finish.run(digest.toString(), index + 1);
    whole.addDigest(digest);
  });
  const revision = seed.domains + seed.users;
  connection
    .prepare("UPDATE state SET revision = ?, digest = ?, domain_count = ?, user_count = ?")
    .run(revision, whole.toString(), seed.domains, seed.users);
  connection
    .prepare(
      "INSERT INTO audit_log (at, principal, door, tool, arguments, revision) VALUES (?, 'operator', 'cli', 'seed', ?, ?)",
    )
    .run(seed.at, JSON.stringify({ domains: seed.domains, users: seed.users }), revision);
}

/** @returns the digest of each domain, so far of its own record alone */
function addDomains(connection: Connection, { domains, users, at }: Seed): StateDigest[] {
  const add = connection.prepare(
    `INSERT INTO domains (id, name, user_count, inactive_user_count, digest, revision, created_at)
     VALUES (?, ?, ?, 0, '', ?, ?)`,
  );
  return Array.from({ length: domains }, (_, index) => {
    const name = domainName(index, domains);
    const userCount = Math.floor(users / domains) + (index < users % domains ? 1 : 0);
    add.run(index + 1, name, userCount, index + 1, at);
    return new StateDigest().add({ domain: name });
  });
}

/** One to each domain in turn, as they would come in life: a domain's users do not lie side by side. */
function addUsers(connection: Connection, seed: Seed, digests: readonly StateDigest[]): void {
  const { domains, users, passwordHash, at } = seed;
  const add = connection.prepare(
    `INSERT INTO users (domain_id, local_part, mailbox, password_hash, quota_mb, active, revision, created_at, updated_at)
     SELECT value ->> 0, value ->> 1, value ->> 2, :passwordHash, ${DEFAULT_QUOTA_MB}, 1, :revision + key, :at, :at
     FROM json_each(:rows)`,
  );
  for (let first = 0; first < users; first += BATCH) {
    // One call for all ids, and one statement for all rows: by themselves they would take most of the time.
    const ids = randomBytes(8 * BATCH).toString("hex");
    const rows = Array.from({ length: Math.min(BATCH, users - first) }, (_, offset) => {
      const index = first + offset;
      const domain = index % domains;
      const localPart = `user${numbered(Math.floor(index / domains), Math.ceil(users / domains))}`;
      const mailbox = ids.slice(16 * offset, 16 * (offset + 1));
      digests[domain]?.add({
        user: `${localPart}@${domainName(domain, domains)}`,
        password: passwordHash,
        quota_mb: DEFAULT_QUOTA_MB,
        mailbox,
      });
      return [domain + 1, localPart, mailbox];
    });
    add.run({ rows: JSON.stringify(rows), revision: domains + first + 1, passwordHash, at });
  }
}

function domainName(index: number, count: number): string {
  return `domain${numbered(index, count)}.example`;
}

/** From 1, with zeros in front, so that the order of the alphabet is the order of the numbers. */
function numbered(index: number, count: number): string {
  return String(index + 1).padStart(String(count).length, "0");
}
