import type { Header } from "../../sync/answer.ts";
import type { NodeRole } from "../../sync/records.ts";
import { stateFile } from "./files.ts";
import type { Incoming } from "./incoming.ts";
import {
  acceptedUpTo,
  firstLedger,
  judgeLoss,
  type Ledger,
  type Loss,
  leaveHistory,
  passHour,
  type Thresholds,
  type Verdict,
  WINDOW,
} from "./losses.ts";
import { type Changes, mergeChanges, noteStatements, readNotes } from "./notes.ts";
import { changedProjection, wholeProjection } from "./projection.ts";
import {
  attach,
  attachAddresses,
  attachState,
  type Meta,
  noteLogs,
  type Place,
  type Replica,
  readMeta,
  readState,
} from "./replica.ts";
import { literal } from "./sqlite.ts";

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

/** The numbers of a change, with some keys to look up. Holds no hash. */
export interface Applied {
  revision: number;
  domains: { added: number; removed: number };
  users: { added: number; changed: number; removed: number };
  /** In service although the server no longer has them. */
  withheld: number;
  sample: Changes;
}

/** Keys of each kind that are looked up after a change. */
const SAMPLE = 5;

/**
 * Applies an answer to the replica in one transaction, within the rule of losses.ts. Without an answer, it carries out
 * accepted removals.
 *
 * @throws SqliteError: then nothing is changed
 */
export async function applyIncoming(
  place: Place,
  replica: Replica,
  incoming: Incoming | undefined,
  options: ApplyOptions,
): Promise<Applied> {
  const { db } = replica;
  if (incoming === undefined) await db.run("DELETE FROM temp.incoming_domain;\nDELETE FROM temp.incoming;");
  const header = incoming?.header ?? headerOf(replica.meta);
  const former = await useStateOf(place, replica, header.role);
  await db.run(["BEGIN IMMEDIATE;", ...adoption(former)].join("\n"));
  try {
    const meta = await readMeta(db);
    // Read inside the transaction: an operator may accept removals at this node at any time.
    const { unproved, accepted, ...noted } = await readNotes(replica);
    const ledger = ledgerFor(noted.ledger, meta, header, options);
    const known = meta?.history === header.history;
    const here = known && accepted?.history === header.history ? accepted.revision : -1;
    const limit = Math.max(acceptedUpTo(ledger, options.accepted), here);
    const byName = known && meta?.role === header.role;
    const change: Change = { header, ledger, options, known, byName, limit, unproved };
    const comparison = await compare(replica, change);
    if (options.dryRun !== undefined) await describe(replica, header.role, options.dryRun);
    const verdict = judgeLoss(comparison.loss, options.thresholds);
    const applied = await carryOut(replica, change, { ...comparison, verdict });
    await db.run(options.dryRun === undefined ? "COMMIT;" : "ROLLBACK;");
    if (former === "former") await db.run("DETACH former;");
    await readState(replica);
    await noteLogs(replica);
    return applied;
  } catch (error) {
    if (!db.over) await db.run("ROLLBACK;");
    throw error;
  }
}

/** The `users` whose sessions must end after the last change: gone, or with another password, mailbox or quota. */
export async function endedAmong({ db }: Replica, users: readonly string[]): Promise<string[]> {
  return await db.run(`SELECT value FROM json_each(${literal(users)}) WHERE EXISTS (SELECT 1 FROM temp.ended
    WHERE domain = substr(value, instr(value, '@') + 1) AND local = substr(value, 1, instr(value, '@') - 1));`);
}

export async function countEnded({ db }: Replica): Promise<number> {
  return (await db.value<number>("SELECT count(*) FROM temp.ended;")) ?? 0;
}

interface Change {
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
  addedDomains: number;
}

type Counted = Loss & Additions;

interface Comparison extends Additions {
  loss: Loss;
  sample: Changes;
}

/** The header of a state that does not change. */
function headerOf(meta: Meta | undefined): Header {
  if (meta === undefined || meta.role === "") throw new Error("there is no state");
  const { role, history, revision, digest, cursor, domains, users } = meta;
  const counts = { domains, users };
  return { protocol: "m25-mail-sync-1", kind: "delta", role, history, revision, digest, counts, cursor };
}

/**
 * Opens a role's file as the state, if it is not open yet.
 *
 * @returns the schema from which to adopt earlier records: the other role's state, or the addresses if the state is lost
 */
async function useStateOf(
  place: Place,
  replica: Replica,
  role: NodeRole,
): Promise<"former" | "addresses" | undefined> {
  const { db, folder, stateName } = replica;
  const name = stateFile(role);
  if (stateName === name) return replica.meta?.role === "" ? "addresses" : undefined;
  await db.run("DETACH addresses;");
  if (stateName !== undefined) {
    await db.run("DETACH state;");
    replica.inodes.delete(stateName);
    replica.inodes.delete(`${stateName}-wal`);
    await attach(db, "former", `${folder}/${stateName}`);
  }
  await attachState(place, replica, name);
  await attachAddresses(place, replica);
  replica.replaced = name;
  return stateName === undefined ? "addresses" : "former";
}

/** Adopts the mailboxes of the former file, so that losses.ts counts each that goes. */
function adoption(from: "former" | "addresses" | undefined): string[] {
  if (from === undefined) return [];
  if (from === "addresses")
    return [
      "INSERT OR IGNORE INTO state.domain SELECT key, name, 1 FROM addresses.domain;",
      "INSERT OR IGNORE INTO state.mailbox(domain, local) SELECT domain, local FROM addresses.address;",
      "UPDATE state.meta SET users = (SELECT count(*) FROM state.mailbox);",
    ];
  const copied = ["domain", "gone", "peak", "note"].flatMap((table) => [
    `DELETE FROM state.${table};`,
    `INSERT INTO state.${table} SELECT * FROM former.${table};`,
  ]);
  return [
    ...copied,
    "DELETE FROM state.mailbox WHERE (domain, local) NOT IN (SELECT domain, local FROM former.mailbox);",
    // A node that was an mx for less than a day still has its former hashes.
    `INSERT INTO state.mailbox SELECT domain, local, NULL, NULL, NULL, withheld, login FROM former.mailbox WHERE true
      ON CONFLICT (domain, local) DO UPDATE SET withheld = excluded.withheld, login = excluded.login,
        password = CASE WHEN excluded.login IS NULL THEN NULL ELSE mailbox.password END;`,
    "UPDATE state.meta SET (role, history, revision, users) = (SELECT role, history, revision, users FROM former.meta);",
  ];
}

function ledgerFor(
  noted: Ledger | undefined,
  meta: Meta | undefined,
  { history }: Header,
  { now, accepted }: ApplyOptions,
): Ledger {
  const ledger = passHour(noted ?? firstLedger(now), now);
  if (meta === undefined || meta.history === history) return ledger;
  return leaveHistory(ledger, meta.history, accepted);
}

const SAME = "m.domain = i.domain AND m.local = i.local";

/** Fills temp.lost and temp.ended, and counts. */
async function compare({ db }: Replica, change: Change): Promise<Comparison> {
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
    "DELETE FROM temp.lost;\nDELETE FROM temp.ended;",
    // In another history revisions mean something else.
    known ? "" : `UPDATE state.mailbox SET withheld = ${header.revision} WHERE withheld IS NOT NULL;`,
    `DELETE FROM state.gone WHERE NOT ${recent} OR ${goneBack};`,
    `DELETE FROM state.peak WHERE NOT ${recent};`,
    `INSERT INTO temp.ended SELECT i.domain, i.local FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND (m.password, m.quota_mb, m.id) IS NOT (i.password, i.quota_mb, i.id);`,
    whole
      ? `INSERT INTO temp.lost SELECT m.domain, m.local FROM state.mailbox m LEFT JOIN temp.incoming i ON ${SAME}
          WHERE m.withheld IS NULL AND i.local IS NULL;`
      : `INSERT INTO temp.lost SELECT m.domain, m.local FROM temp.incoming i CROSS JOIN state.mailbox m ON ${SAME}
          WHERE i.removed = 1 AND m.withheld IS NULL;`,
    `CREATE TEMP TABLE back AS SELECT m.domain, m.local, m.withheld FROM ${back}
      WHERE m.withheld IS NOT NULL AND i.removed = 0;`,
  ];
  await db.run(statements.join("\n"));
  const counted = await db.value<Counted>(`SELECT json_object(
    'served', (SELECT users FROM state.meta) + (SELECT count(*) FROM state.mailbox WHERE withheld IS NOT NULL),
    'gone', (SELECT count(*) FROM state.gone), 'peak', (SELECT ifnull(max(users), 0) FROM state.peak),
    'fresh', (SELECT count(*) FROM temp.lost),
    'withheld', (SELECT count(*) FROM state.mailbox WHERE withheld IS NOT NULL) - (SELECT count(*) FROM temp.back),
    'accepted', (SELECT count(*) FROM state.mailbox WHERE withheld <= ${limit})
      - (SELECT count(*) FROM temp.back WHERE withheld <= ${limit}),
    'changed', (SELECT count(*) FROM temp.ended),
    'added', (SELECT count(*) FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND m.local IS NULL),
    'addedDomains', (SELECT count(*) FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
      WHERE i.removed = 0 AND d.key IS NULL));
DROP TABLE temp.back;`);
  const { added, changed, addedDomains, ...loss } = counted as Counted;
  if (header.revision <= limit) loss.accepted += loss.fresh;
  return { loss, added, changed, addedDomains, sample: await sampleOf(db) };
}

/** Some added keys, taken before they are applied. */
async function sampleOf(db: Replica["db"]): Promise<Changes> {
  const users =
    await db.run(`SELECT i.local || '@' || i.domain FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
    WHERE i.removed = 0 AND m.local IS NULL LIMIT ${SAMPLE};`);
  const domains =
    await db.run(`SELECT i.name FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
    WHERE i.removed = 0 AND d.key IS NULL LIMIT ${SAMPLE};`);
  return { domains: { added: domains, removed: [] }, users: { added: users, removed: [] } };
}

type Judged = Comparison & { verdict: Verdict };

async function carryOut(replica: Replica, change: Change, judged: Judged): Promise<Applied> {
  const { db } = replica;
  const { header } = change;
  const { verdict, loss, sample } = judged;
  await db.run([...setRecords(header), ...markLost(change)].join("\n"));
  const going = goingWhere(verdict, change.limit);
  sample.users.removed = await db.run(
    `SELECT local || '@' || domain FROM state.mailbox WHERE ${going} LIMIT ${SAMPLE};`,
  );
  await db.run(removeLost(verdict, going, change).join("\n"));
  const unlisted = `listed = 0 AND NOT EXISTS (SELECT 1 FROM state.mailbox m WHERE m.domain = name)`;
  const removedDomains = await db.run(
    `SELECT key FROM state.domain WHERE key = name AND ${unlisted};\nDELETE FROM state.domain WHERE ${unlisted};`,
  );
  sample.domains.removed = removedDomains.slice(0, SAMPLE);
  const whole = header.kind === "snapshot" || loss.accepted > 0 || (!verdict.withhold && loss.withheld > 0);
  const removed = verdict.withhold ? (verdict.anew ? loss.accepted : 0) : loss.fresh + loss.withheld;
  const withheld = loss.fresh + loss.withheld - removed;
  const statements = [
    ...noteStatements({ unproved: mergeChanges(change.unproved, sample) }),
    ...conclusion(change, withheld, verdict.anew ? loss.served - loss.accepted : loss.served),
    ...(whole ? wholeProjection : changedProjection),
  ];
  await db.run(statements.join("\n"));
  return {
    revision: header.revision,
    domains: { added: judged.addedDomains, removed: removedDomains.length },
    users: { added: judged.added, changed: judged.changed, removed },
    withheld,
    sample,
  };
}

/** Writes the answer's records that differ from the state. */
function setRecords({ kind, revision }: Header): string[] {
  const gone =
    kind === "snapshot"
      ? "name NOT IN (SELECT name FROM temp.incoming_domain)"
      : `key IN (SELECT name FROM temp.incoming_domain WHERE removed = 1
          UNION SELECT unicode FROM temp.incoming_domain WHERE removed = 1)`;
  return [
    `INSERT INTO state.domain SELECT name, name, 1 FROM temp.incoming_domain WHERE removed = 0
      UNION SELECT unicode, name, 1 FROM temp.incoming_domain WHERE removed = 0
      ON CONFLICT (key) DO UPDATE SET listed = 1 WHERE listed = 0;`,
    `UPDATE state.domain SET listed = 0 WHERE listed = 1 AND ${gone};`,
    `INSERT INTO state.mailbox SELECT domain, local, password, quota_mb, id, NULL, ${revision} FROM temp.incoming
      WHERE removed = 0
      ON CONFLICT (domain, local) DO UPDATE SET password = excluded.password, quota_mb = excluded.quota_mb,
        id = excluded.id, withheld = NULL,
        login = CASE WHEN mailbox.password IS excluded.password THEN ifnull(mailbox.login, excluded.login)
          ELSE excluded.login END
      WHERE (mailbox.password, mailbox.quota_mb, mailbox.id, mailbox.withheld)
        IS NOT (excluded.password, excluded.quota_mb, excluded.id, NULL);`,
  ];
}

/**
 * Ends the login of mailboxes that were removed by name, even if their address is withheld: those that a delta removes, and
 * those that a whole state of the same history and role lacks while it has their domain.
 */
function markLost({ header: { kind, revision }, byName }: Change): string[] {
  const lost = "(domain, local) IN (SELECT domain, local FROM temp.lost)";
  const mark = `UPDATE state.mailbox SET withheld = ${revision} WHERE ${lost};`;
  if (kind === "snapshot" && !byName) return [mark];
  const named =
    kind === "snapshot"
      ? `${lost} AND domain IN (SELECT name FROM temp.incoming_domain)`
      : "(domain, local) IN (SELECT domain, local FROM temp.incoming WHERE removed = 1)";
  return [
    mark,
    `INSERT OR IGNORE INTO temp.ended SELECT domain, local FROM state.mailbox WHERE ${named};`,
    `UPDATE state.mailbox SET password = NULL, login = NULL WHERE ${named} AND login IS NOT NULL;`,
  ];
}

/** The condition for mailboxes that go now. */
function goingWhere({ anew, withhold }: Verdict, limit: number): string {
  if (!withhold) return "withheld IS NOT NULL";
  return anew ? `withheld <= ${limit}` : "false";
}

function removeLost({ anew, withhold }: Verdict, going: string, { ledger, limit }: Change): string[] {
  if (withhold && !anew) return [];
  return [
    ...(anew ? ["DELETE FROM state.gone;", "DELETE FROM state.peak;"] : []),
    `INSERT OR REPLACE INTO state.gone SELECT domain, local, ${ledger.hours.count} FROM state.mailbox
      WHERE ${going}${anew ? ` AND withheld > ${limit}` : ""};`,
    `INSERT OR IGNORE INTO temp.ended SELECT domain, local FROM state.mailbox WHERE ${going};`,
    `DELETE FROM state.mailbox WHERE ${going};`,
  ];
}

/** @param served number of counted mailboxes that were in service before */
function conclusion({ header, ledger, options }: Change, withheld: number, served: number): string[] {
  const { role, history, revision, digest, cursor, counts } = header;
  const since = new Date(options.now).toISOString();
  const hour = ledger.hours.count;
  const most = Math.max(served, counts.users + withheld);
  const withheldSince = withheld === 0 ? null : (ledger.withheldSince ?? since);
  const values = literal([
    role,
    history,
    revision,
    digest,
    cursor,
    counts.domains,
    counts.users,
    since,
    options.mailRoot,
  ]);
  return [
    `INSERT INTO state.peak VALUES (${hour}, ${most})
      ON CONFLICT (hour) DO UPDATE SET users = max(users, excluded.users);`,
    ...noteStatements({
      ledger: { ...ledger, withheldSince },
      accepted: undefined,
      returned: undefined,
      reported: undefined,
    }),
    `UPDATE state.meta SET ready = 1, role = v.value->>0, history = v.value->>1, revision = v.value->>2,
      digest = v.value->>3, cursor = v.value->>4, domains = v.value->>5, users = v.value->>6, since = CASE WHEN (role, history, revision, digest) IS (v.value->>0, v.value->>1, v.value->>2, v.value->>3)
        THEN since ELSE v.value->>7 END, mail_root = v.value->>8 FROM (SELECT ${values} AS value) AS v;`,
  ];
}

/** Prints the plan in plain lines. */
async function describe({ db }: Replica, role: NodeRole, print: (line: string) => void): Promise<void> {
  const address = (table: string): string => `${table}.local || '@' || ${table}.domain`;
  await db.run(
    `SELECT 'add domain ' || i.name FROM temp.incoming_domain i LEFT JOIN state.domain d ON d.key = i.name
      WHERE i.removed = 0 AND d.key IS NULL;
    SELECT 'add user ' || ${address("i")} FROM temp.incoming i LEFT JOIN state.mailbox m ON ${SAME}
      WHERE i.removed = 0 AND m.local IS NULL;
    SELECT 'change user ' || ${address("i")} || ': ' || substr(
        CASE WHEN m.password IS NOT i.password THEN ', new password' ELSE '' END
        || CASE WHEN m.quota_mb IS NOT i.quota_mb THEN ', quota ' || ifnull(m.quota_mb, 'unknown') || ' to ' || i.quota_mb || ' MiB' ELSE '' END
        || CASE WHEN m.id IS NOT i.id THEN ', new mailbox' ELSE '' END, 3)
      FROM temp.ended e CROSS JOIN temp.incoming i ON i.domain = e.domain AND i.local = e.local
      CROSS JOIN state.mailbox m ON ${SAME} WHERE i.removed = 0;
    SELECT 'remove user ' || ${address("l")} FROM temp.lost l;
    SELECT 'end open sessions of ' || ${address("e")} FROM (SELECT * FROM temp.ended UNION SELECT * FROM temp.lost) e
      WHERE '${role}' = 'mail';`,
    (lines) => lines.forEach(print),
  );
}
