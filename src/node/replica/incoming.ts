import { domainToUnicode } from "node:url";
import { sendingLimitText } from "../../mail/sending-limit.ts";
import type { Header } from "../../sync/answer.ts";
import { StateDigest } from "../../sync/digest.ts";
import { AnswerParser, domainOf, RefusedAnswer } from "../../sync/reader.ts";
import {
  keyOf,
  kindOf,
  type MailRecord,
  type RecordKind,
  type Removal,
  recordKinds,
} from "../../sync/records.ts";
import type { Replica } from "./replica.ts";
import { literal, type Sqlite } from "./sqlite.ts";

/** Records to insert in one statement. */
const BATCH = 1000;

/** A verified answer, with its records in the temporary tables. */
export interface Incoming {
  header: Header;
}

/** A refused delta: the node can ask for everything instead. */
export class RefusedDelta extends RefusedAnswer {}

/**
 * Reads an answer into the temporary tables, and verifies it: each line, no key twice, each user's domain, counts and
 * digest. It changes nothing that a daemon reads, and holds only a piece of the answer in memory.
 *
 * @throws RefusedAnswer
 */
export async function takeAnswer(
  replica: Replica,
  pieces: AsyncIterable<readonly string[]>,
): Promise<Incoming> {
  const parser = new AnswerParser();
  try {
    return await take(replica, pieces, parser);
  } catch (error) {
    if (parser.header?.kind !== "delta" || !(error instanceof RefusedAnswer)) throw error;
    throw new RefusedDelta(error.reason, error.line);
  }
}

async function take(
  replica: Replica,
  pieces: AsyncIterable<readonly string[]>,
  parser: AnswerParser,
): Promise<Incoming> {
  const { db } = replica;
  await db.run("DELETE FROM temp.incoming_domain;\nDELETE FROM temp.incoming;");
  const batch = new Batch(db, parser);
  try {
    await readInto(batch, replica, pieces, parser);
    const header = parser.finish();
    await batch.finish();
    await proveDomains(replica, parser, header);
    await proveSum(replica, parser, { header, sum: batch });
    return { header };
  } finally {
    await batch.idle();
  }
}

async function readInto(
  batch: Batch,
  replica: Replica,
  pieces: AsyncIterable<readonly string[]>,
  parser: AnswerParser,
): Promise<void> {
  let whole = false;
  for await (const lines of pieces) {
    try {
      for (const line of lines) {
        const isFirst = parser.header === undefined;
        const taken = parser.push(line);
        if (taken !== undefined) batch.add(taken);
        else if (isFirst) expectBase(replica, parser);
      }
    } finally {
      // A whole state's journal would fill the memory.
      if (!whole && parser.header?.kind === "snapshot") {
        await replica.db.run("PRAGMA temp.journal_mode = DELETE;");
        whole = true;
      }
      // Report a duplicate record first: it also makes the counts wrong.
      if (parser.isRefused) await batch.finish();
      else if (batch.isFull) await batch.flush();
    }
  }
}

/** Refuses a delta to another state, and a replayed older revision, which would roll the node back. */
function expectBase({ meta }: Replica, parser: AnswerParser): void {
  const { kind, history, role, revision = 0 } = parser.header ?? {};
  const isBase = meta !== undefined && meta.history === history && meta.role === role;
  if (kind === "delta" && !isBase) parser.refuse("wrong_protocol");
  if (meta?.history === history && revision < (meta?.revision ?? 0)) parser.refuse("older_revision");
}

class Batch {
  readonly digest = new StateDigest();
  /** Records of each kind that are not removed. */
  readonly numbers: Record<RecordKind, number> = { domain: 0, domain_alias: 0, user: 0, alias: 0 };
  readonly #db: Sqlite;
  readonly #parser: AnswerParser;
  #domainRows: unknown[][] = [];
  #userRows: unknown[][] = [];
  #inserting: Promise<void> = Promise.resolve();

  constructor(db: Sqlite, parser: AnswerParser) {
    this.#db = db;
    this.#parser = parser;
  }

  get isFull(): boolean {
    return this.#domainRows.length + this.#userRows.length >= BATCH;
  }

  add(taken: MailRecord | Removal): void {
    const removed = "removed" in taken ? 1 : 0;
    const { line } = this.#parser;
    if (!("removed" in taken)) this.digest.add(taken);
    this.numbers[kindOf(taken)] += 1 - removed;
    if ("domain" in taken) {
      this.#domainRows.push([taken.domain, domainToUnicode(taken.domain), limitOf(taken), removed, line]);
      return;
    }
    const [domain, local] = placeOf(taken);
    const {
      password = null,
      quota_mb = null,
      mailbox = null,
      app_passwords,
    } = "password" in taken ? taken : {};
    const apps = app_passwords === undefined ? null : JSON.stringify(app_passwords);
    this.#userRows.push([
      domain,
      local,
      password,
      quota_mb,
      mailbox,
      apps,
      ...leadsOf(taken),
      limitOf(taken),
      removed,
      line,
    ]);
  }

  /** Hands the rows to SQLite, which takes them while the next ones are read. @throws RefusedAnswer for earlier ones */
  async flush(): Promise<void> {
    await this.#inserting;
    const [domains, users] = [this.#domainRows, this.#userRows];
    this.#domainRows = [];
    this.#userRows = [];
    const insert = async (): Promise<void> => {
      await this.#insert("incoming_domain", domains);
      await this.#insert("incoming", users);
    };
    this.#inserting = insert();
    // Its next caller gets its error.
    this.#inserting.catch(() => undefined);
  }

  /** @throws RefusedAnswer duplicate_record */
  async finish(): Promise<void> {
    await this.flush();
    await this.#inserting;
  }

  /** Resolves once SQLite has nothing left to do, whatever came of it. */
  async idle(): Promise<void> {
    await this.#inserting.catch(() => undefined);
  }

  async #insert(table: string, rows: readonly unknown[][]): Promise<void> {
    const [first] = rows;
    if (first === undefined) return;
    const columns = first.map((_, index) => `value->>${index}`).join(", ");
    const inserted = await this.#db.value<number>(
      `INSERT OR IGNORE INTO temp.${table} SELECT ${columns} FROM json_each(${literal(rows)});\nSELECT changes();`,
    );
    if (inserted === rows.length) return;
    const lines = new Set(await this.#db.run(`SELECT line FROM temp.${table};`));
    const again = rows.map((row) => Number(row.at(-1))).find((line) => !lines.has(String(line)));
    this.#parser.refuse("duplicate_record", again);
  }
}

/** Where schema.ts keeps a record that is not a domain. */
function placeOf(record: MailRecord | Removal): [domain: string, local: string] {
  const key = keyOf(record);
  if ("domain_alias" in record) return [key, "~~"];
  return [domainOf(key), `${"alias" in record ? "~" : ""}${key.slice(0, key.indexOf("@"))}`];
}

/** The column `sending` of a record. */
function limitOf(record: MailRecord | Removal): string | null {
  const limit = "sending_limit" in record ? record.sending_limit : undefined;
  return limit === undefined ? null : sendingLimitText(limit);
}

/** The columns `leads` and `send_as` of a record: see schema.ts. */
function leadsOf(record: MailRecord | Removal): [leads: string | null, sendAs: number | null] {
  if ("of" in record) return [JSON.stringify([record.of, domainToUnicode(record.domain_alias)]), null];
  if ("targets" in record) return [JSON.stringify(record.targets), record.send_as ? 1 : 0];
  return ["live" in record ? String(record.live) : null, null];
}

/** The record of a row of the table of mailboxes, as JSON text. */
const RECORD = `CASE WHEN m.local = '~~' THEN json_object('domain_alias', m.domain, 'of', m.leads ->> 0)
  WHEN m.send_as IS NOT NULL THEN json_object('alias', substr(m.local, 2) || '@' || m.domain, 'targets', json(m.leads),
    'send_as', json(iif(m.send_as, 'true', 'false')))
  WHEN m.leads IS NOT NULL THEN json_object('alias', substr(m.local, 2) || '@' || m.domain, 'live', json(m.leads))
  WHEN m.password IS NULL THEN json_object('user', m.local || '@' || m.domain) ELSE
  json_patch(json_object('user', m.local || '@' || m.domain, 'password', m.password, 'quota_mb', m.quota_mb, 'mailbox', m.id),
    json_object('app_passwords', json(m.apps), 'sending_limit', json(m.sending))) END`;

/** The domain that a record needs. */
const NEEDED = "CASE WHEN i.local = '~~' THEN i.leads ->> 0 ELSE i.domain END";

/** @throws RefusedAnswer foreign_user */
async function proveDomains({ db }: Replica, parser: AnswerParser, { kind }: Header): Promise<void> {
  const served =
    kind === "snapshot"
      ? ""
      : `AND NOT EXISTS (SELECT 1 FROM state.domain d WHERE d.key = ${NEEDED} AND d.name = d.key AND d.listed = 1)`;
  const line = await db.value<number | null>(
    `SELECT json_quote(min(i.line)) FROM temp.incoming i LEFT JOIN temp.incoming_domain n ON n.name = ${NEEDED}
      WHERE i.removed = 0 AND ${NEEDED} <> '' AND (n.removed = 1 OR (n.name IS NULL ${served}));`,
  );
  if (line != null) parser.refuse("foreign_user", line);
}

/** @throws RefusedAnswer wrong_counts, wrong_digest */
async function proveSum(
  { db, meta }: Replica,
  parser: AnswerParser,
  { header, sum }: { header: Header; sum: Batch },
): Promise<void> {
  const { digest, numbers } = sum;
  if (header.kind === "delta" && meta !== undefined) {
    digest.addDigest(StateDigest.fromHex(meta.digest));
    numbers.domain += meta.domains;
    numbers.user += meta.users;
    numbers.alias += meta.aliases;
    numbers.domain_alias += meta.domain_aliases;
    await db.run(
      `SELECT json_patch(json_object('domain', d.name), json_object('sending_limit', json(d.sending))) FROM temp.incoming_domain i CROSS JOIN state.domain d
        ON d.key = i.name WHERE d.name = d.key AND d.listed = 1;
      SELECT ${RECORD} FROM temp.incoming i CROSS JOIN state.mailbox m ON m.domain = i.domain AND m.local = i.local
        WHERE m.withheld IS NULL;`,
      (lines) => {
        for (const line of lines) {
          const before = JSON.parse(line) as MailRecord;
          digest.remove(before);
          numbers[kindOf(before)] -= 1;
        }
      },
    );
  }
  const { domains, users, aliases, domain_aliases } = header.counts;
  const told = { domain: domains, user: users, alias: aliases, domain_alias: domain_aliases };
  if (recordKinds.some((kind) => numbers[kind] !== told[kind])) parser.refuse("wrong_counts");
  if (digest.toString() !== header.digest) parser.refuse("wrong_digest");
}
